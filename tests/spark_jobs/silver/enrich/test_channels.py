"""GA4's channel groups: each case by hand, and the coverage of the referrer lists."""

import pytest

from conf.settings import read_yaml, rules
from spark_jobs.silver.enrich.channels import with_channel, with_traffic, with_traffic_key

COLUMNS = ("utm_source", "utm_medium", "utm_campaign", "click_id", "click_id_type", "referrer_url", "page_url", "channel", "event_type")
SHAPE = "case INT, " + ", ".join(f"{c} STRING" for c in (*COLUMNS, "ad_network"))


def hit(
    source=None,
    medium=None,
    campaign=None,
    click=None,
    referrer=None,
    page="https://shop.example/",
    channel=None,
    kind="page",
    network=None,
):
    return (source, medium, campaign, "c1" if click else None, click, referrer, page, channel, kind, network)


# what the event says -> its channel and the rule that gave it
CASES = [
    (hit(), "Direct", "1:direct"),
    (hit("(direct)", "(none)"), "Direct", "1:manual"),
    (hit("(direct)", "(not set)"), "Direct", "1:manual"),
    (hit("google", "cpc", "Summer Cross-Network"), "Cross-network", "2:manual"),
    (hit("amazon", "cpc"), "Paid Shopping", "3:manual"),
    (hit("google", "cpc", "eshop sale"), "Paid Shopping", "3:manual"),
    (hit("google", "cpc", "photoshop workshop"), "Paid Search", "4:manual"),
    (hit("google", "cpm"), "Paid Search", "4:manual"),
    (hit("GOOGLE ", "CPC"), "Paid Search", "4:manual"),
    (hit("facebook", "paid_social"), "Paid Social", "5:manual"),
    (hit("youtube.com", "cpv"), "Paid Video", "6:manual"),
    (hit("youtube", "paid-video"), "Paid Video", "6:manual"),
    (hit("unknown", "cpm"), "Display", "7:manual"),
    (hit("partner", "banner"), "Display", "7:manual"),
    (hit("partner", "retargeting"), "Paid Other", "8:manual"),
    (hit("partner", "remarketing"), "Unassigned", "none:manual"),
    (hit("partner", "unpaid"), "Unassigned", "none:manual"),
    (hit("chatgpt.com", "ai-assistant"), "AI Assistant", "9:manual"),
    (hit(referrer="https://chatgpt.com/"), "AI Assistant", "9:referrer"),
    (hit(referrer="https://x.com/i/grok?conversation=1"), "AI Assistant", "9:referrer"),
    (hit("amazon.de", "referral"), "Organic Shopping", "10:manual"),
    (hit("instagram", "story"), "Organic Social", "11:manual"),
    (hit("club", "social-media"), "Organic Social", "11:manual"),
    (hit(referrer="https://t.co/abc"), "Organic Social", "11:referrer"),
    (hit(referrer="https://www.youtube.com/watch?v=1"), "Organic Video", "12:referrer"),
    (hit(referrer="https://www.google.co.uk/"), "Organic Search", "13:referrer"),
    (hit(referrer="android-app://com.google.android.googlequicksearchbox/"), "Organic Search", "13:referrer"),
    (hit(referrer="https://news.google.com/articles/1"), "Referral", "14:referrer"),
    (hit(referrer="https://a-blog.example/post"), "Referral", "14:referrer"),
    (hit(referrer="https://notgoogle.example/"), "Referral", "14:referrer"),
    (hit(referrer="https://www.searchenginejournal.com/a"), "Referral", "14:referrer"),
    (hit(referrer="https://elasticsearch.example/"), "Referral", "14:referrer"),
    (hit(referrer="https://www.jobsearch.example/"), "Referral", "14:referrer"),
    (hit(referrer="https://searchhub.example/"), "Referral", "14:referrer"),
    (hit(referrer="https://research.example/"), "Referral", "14:referrer"),
    (hit(referrer="https://search.engine.example/?q=1"), "Organic Search", "13:referrer"),
    (hit(referrer="https://www.socialsecurity.gov/"), "Referral", "14:referrer"),
    (hit(referrer="https://www.socialmediatoday.com/"), "Referral", "14:referrer"),
    (hit(referrer="https://tootsie.com/"), "Referral", "14:referrer"),
    (hit(referrer="https://toothpaste.example/"), "Referral", "14:referrer"),
    (hit(referrer="https://social.town.example/@a"), "Organic Social", "11:referrer"),
    (hit("email", "referral"), "Referral", "14:manual"),
    (hit("newsletter", "e-mail"), "Email", "15:manual"),
    (hit("email"), "Email", "15:manual"),
    (hit("news", "my email"), "Unassigned", "none:manual"),
    (hit(referrer="https://mail.google.com/mail/u/0/"), "Email", "15:referrer"),
    (hit("partner", "affiliate"), "Affiliates", "16:manual"),
    (hit("podcast", "audio"), "Audio", "17:manual"),
    (hit("sms", "text"), "SMS", "18:manual"),
    (hit("app1", "web_push"), "Mobile Push Notifications", "19:manual"),
    (hit("firebase", "x"), "Mobile Push Notifications", "19:manual"),
    (hit(click="gclid"), "Paid Search", "4:click_id"),
    (hit(click="msclkid"), "Paid Search", "4:click_id"),
    (hit(click="fbclid", referrer="https://l.facebook.com/"), "Paid Social", "5:click_id"),
    (hit("news", "email", click="gclid"), "Email", "15:manual"),
    (hit("google", click="gclid"), "Paid Search", "4:click_id"),
    (hit("Google_Ads", click="gclid"), "Paid Search", "4:click_id"),
    (hit("youtube", click="gclid"), "Paid Video", "6:click_id"),
    (hit("facebook", click="fbclid"), "Paid Social", "5:click_id"),
    (hit("l.instagram.com", click="fbclid"), "Paid Social", "5:click_id"),
    (hit("bing", click="msclkid"), "Paid Search", "4:click_id"),
    (hit(medium="cpc", click="gclid"), "Paid Search", "4:click_id"),
    (hit(medium="cpc", click="fbclid"), "Paid Social", "5:click_id"),
    (hit(medium="display", click="dclid"), "Display", "7:click_id"),
    (hit("google", "cpc", click="gclid"), "Paid Search", "4:manual"),
    (hit("google", "organic", click="gclid"), "Organic Search", "13:manual"),
    (hit("facebook", click="gclid"), "Organic Social", "11:manual"),
    (hit("newsletter", click="gclid"), "Unassigned", "none:manual"),
    (hit(medium="email", click="gclid"), "Email", "15:manual"),
    (hit(medium="cpc", click="zzclid"), "Paid Other", "8:manual"),
    (hit("google", click="zzclid"), "Organic Search", "13:manual"),
    (hit("google\n", "cpc\r\n"), "Paid Search", "4:manual"),
    (hit("\tgoogle", "\u00a0cpc"), "Paid Search", "4:manual"),
    (hit("google.com/", "cpc"), "Paid Search", "4:manual"),
    (hit("google.com.", "cpc"), "Paid Search", "4:manual"),
    (hit("http://facebook.com", "cpc"), "Paid Social", "5:manual"),
    (hit("https://www.Facebook.com/?a=1", "cpc"), "Paid Social", "5:manual"),
    (hit("//www.bing.com:443/chat", "x"), "Unassigned", "none:manual"),
    (hit("http://", "cpc"), "Paid Other", "8:manual"),
    (hit("\n", "\t"), "Direct", "1:direct"),
    (hit(referrer="https://www.google.com."), "Organic Search", "13:referrer"),
    (hit(referrer="https://www.google.com.:443/search"), "Organic Search", "13:referrer"),
    (hit(referrer=" https://www.google.com\n"), "Organic Search", "13:referrer"),
    (hit(referrer="https://shop.example./cart"), "Direct", "1:direct"),
    (hit(referrer="https://www.shop.example/cart", page="https://shop.example/"), "Direct", "1:direct"),
    (hit(referrer="https://blog.shop.example/a", page="https://shop.example/"), "Direct", "1:direct"),
    (hit(referrer="not a url"), "Direct", "1:direct"),
    (hit("google", "cpc", network="performance_max"), "Cross-network", "network"),
    (hit("google", "cpc", channel="Direct Mail"), "Direct Mail", "given"),
    (hit(kind="email"), "Email", "event_type"),
]

# source, medium, campaign -> channel and rule: the published definitions, one line each, with what lies just beside them
TAGGED = [
    ("(direct)", "(none)", "cross-network", "Direct", 1),
    ("(DIRECT)", "(None)", None, "Direct", 1),
    ("(not set)", "(not set)", None, "Unassigned", None),
    ("(direct)", None, None, "Direct", 1),
    (None, "(not set)", None, "Unassigned", None),
    (None, "(none)", None, "Unassigned", None),
    ("(direct)", "cpc", None, "Paid Other", 8),
    ("dv360", "display", "CROSS-NETWORK brand", "Cross-network", 2),
    ("newsletter", "email", "spring cross-network", "Cross-network", 2),
    ("ebay", "ppc", None, "Paid Shopping", 3),
    ("etsy", "cpc", None, "Paid Shopping", 3),
    ("Google Shopping", "cpc", None, "Paid Shopping", 3),
    ("bing", "cpc", "Shopping | Brand", "Paid Shopping", 3),
    ("partner", "cpc", "shop the look", "Paid Shopping", 3),
    ("partner", "cpc", "e-shop", "Paid Shopping", 3),
    ("mailer", "retargeting", "my shop", "Paid Shopping", 3),
    ("bing", "cpc", None, "Paid Search", 4),
    ("duckduckgo", "ppc", None, "Paid Search", 4),
    ("yahoo", "paid", None, "Paid Search", 4),
    ("baidu", "cpa", None, "Paid Search", 4),
    ("google", "paidsearch", None, "Paid Search", 4),
    ("google", "retargeting", None, "Paid Search", 4),
    ("google.co.uk", "CPC", None, "Paid Search", 4),
    ("www.google.com", "cpc", None, "Paid Search", 4),
    ("ecosia.org", "cpc", None, "Paid Search", 4),
    ("google", "cpc", "workshop 2026", "Paid Search", 4),
    ("instagram", "cpm", None, "Paid Social", 5),
    ("linkedin", "paid", None, "Paid Social", 5),
    ("tiktok", "cpv", None, "Paid Social", 5),
    ("tiktok", "paid-video", None, "Paid Social", 5),
    ("pinterest", "ppc", None, "Paid Social", 5),
    ("reddit", "cpc", None, "Paid Social", 5),
    ("facebook.com", "paid_social", None, "Paid Social", 5),
    ("l.instagram.com", "cpc", None, "Paid Social", 5),
    (" Facebook", "Paid_Social ", None, "Paid Social", 5),
    ("snapchat", "retargeting", None, "Paid Social", 5),
    ("vimeo", "cpc", None, "Paid Video", 6),
    ("twitch.tv", "paid", None, "Paid Video", 6),
    ("youtube", "cpm", None, "Paid Video", 6),
    ("dv360", "display", None, "Display", 7),
    ("criteo", "cpm", None, "Display", 7),
    ("partner", "expandable", None, "Display", 7),
    ("partner", "interstitial", None, "Display", 7),
    ("google", "display", None, "Display", 7),
    ("facebook", "banner", None, "Display", 7),
    ("partner", "cpc", None, "Paid Other", 8),
    ("taboola", "paid-native", None, "Paid Other", 8),
    ("partner", "ppc", None, "Paid Other", 8),
    ("podcast", "cpa", None, "Paid Other", 8),
    ("email", "cpc", None, "Paid Other", 8),
    (None, "cpc", None, "Paid Other", 8),
    ("claude.ai", "AI-Assistant", None, "AI Assistant", 9),
    ("chatgpt.com", "referral", None, "Referral", 14),
    ("ebay", "organic", None, "Organic Shopping", 10),
    ("newsletter", "email", "shop now", "Organic Shopping", 10),
    ("etsy.com", "referral", None, "Organic Shopping", 10),
    ("google", "organic", "photoshop", "Organic Search", 13),
    ("facebook", "referral", None, "Organic Social", 11),
    ("partner", "social", None, "Organic Social", 11),
    ("partner", "sm", None, "Organic Social", 11),
    ("partner", "social-network", None, "Organic Social", 11),
    ("partner", "social network", None, "Organic Social", 11),
    ("partner", "social media", None, "Organic Social", 11),
    ("partner", "socials", None, "Unassigned", None),
    ("pinterest.com", "organic", None, "Organic Social", 11),
    ("youtube", "social", None, "Organic Social", 11),
    ("partner", "video", None, "Organic Video", 12),
    ("partner", "instream-video", None, "Organic Video", 12),
    ("vimeo", "referral", None, "Organic Video", 12),
    ("email", "video", None, "Organic Video", 12),
    ("google", "organic", None, "Organic Search", 13),
    ("partner", "organic", None, "Organic Search", 13),
    ("bing", None, None, "Organic Search", 13),
    ("google", "email", None, "Organic Search", 13),
    (None, "organic", None, "Organic Search", 13),
    ("partner", "referral", None, "Referral", 14),
    ("partner", "app", None, "Referral", 14),
    ("partner", "link", None, "Referral", 14),
    ("partner", "links", None, "Unassigned", None),
    ("e-mail", None, None, "Email", 15),
    ("partner", "e_mail", None, "Email", 15),
    ("partner", "e mail", None, "Email", 15),
    ("Partner", "EMAIL", None, "Email", 15),
    (None, "email", None, "Email", 15),
    ("partner", "emails", None, "Unassigned", None),
    ("partner", "Affiliate", None, "Affiliates", 16),
    ("partner", "affiliates", None, "Unassigned", None),
    ("spotify", "audio", None, "Audio", 17),
    ("partner", "audio-ad", None, "Unassigned", None),
    ("sms", "sms", None, "SMS", 18),
    ("partner", "SMS", None, "SMS", 18),
    ("sms", None, None, "SMS", 18),
    ("partner", "sms-promo", None, "Unassigned", None),
    ("partner", "push", None, "Mobile Push Notifications", 19),
    ("partner", "webpush", None, "Mobile Push Notifications", 19),
    ("partner", "mobile", None, "Mobile Push Notifications", 19),
    ("partner", "mobile-app", None, "Mobile Push Notifications", 19),
    ("partner", "in-app notification", None, "Mobile Push Notifications", 19),
    ("firebase", None, None, "Mobile Push Notifications", 19),
    ("partner", "push-message", None, "Unassigned", None),
    ("partner", "story", None, "Unassigned", None),
    ("newsletter", None, None, "Unassigned", None),
    (None, "flyer", None, "Unassigned", None),
]
CASES += [(hit(source, medium, campaign), channel, f"{number or 'none'}:manual") for source, medium, campaign, channel, number in TAGGED]


def test_every_case_has_its_channel_and_names_its_rule(spark):
    events = spark.createDataFrame([(i, *case[0]) for i, case in enumerate(CASES)], SHAPE)
    found = with_channel(with_traffic_key(events), rules("channels")).orderBy("case").collect()
    assert [(CASES[r["case"]][0], r["channel"], r["channel_rule"]) for r in found] == CASES


@pytest.mark.parametrize(
    ("file", "kinds", "least"),
    [
        ("AIAssistants", {"ai"}, 1.0),
        ("Socials", {"social", "video", "ai"}, 0.9),
        ("SearchEngines", {"search", "ai", "social", "shopping"}, 0.72),
    ],
)
def test_the_lists_know_the_hosts_that_others_know(spark, shared_data, file, kinds, least):
    hosts = set()
    for entries in read_yaml(shared_data / "referrers" / f"{file}.yml").values():
        listed = [u for e in entries for u in (e.get("urls", ()) if hasattr(e, "get") else (e,))]
        hosts |= {h.replace("{}", "de") for h in listed if not h.startswith("{}")}
    rows = [(i, *hit(referrer=f"https://{h}" + ("" if "/" in h else "/"))) for i, h in enumerate(sorted(hosts))]
    found = with_traffic(spark.createDataFrame(rows, SHAPE), rules("channels")).select("source_kind", "referrer_url").collect()
    missed = sorted(r["referrer_url"] for r in found if r["source_kind"] not in kinds)
    assert 1 - len(missed) / len(found) >= least, f"{len(missed)} of {len(found)} hosts are not known: {missed}"


# by kind, sources of GA4's own table of categories, as utm_source names them
GA4_SOURCES = {
    "search": (
        "360.cn alice aol ask auone avg babylon baidu biglobe bing centrum.cz cnn comcast conduit cse.google.com daum dogpile duckduckgo ecosia.org eniro "
        "exalead.com excite.com firmy.cz globo go.mail.ru google google-play googlemybusiness incredimail kvasir lens.google.com lite.qwant.com lycos "
        "m.sogou.com msn msn.com najdi naver ntp.msn.com onet qwant rakuten rakuten.co.jp rambler search-results search.smt.docomo.ne.jp secureurl.ukr.net "
        "seznam so.com sogou startsiden suche.aol.de terra tut.by uk.search.yahoo.com ukr virgilio yahoo yahoo.co.jp yam yandex yandex.com.tr zen.yandex.ru"
    ),
    "video": (
        "crackle curiositystream d.tube dailymotion disneyplus fast.wistia.net help.netflix.com hulu iq.com iqiyi justin.tv music.youtube.com netflix "
        "player.vimeo.com ted twitch utreon veoh viadeo.journaldunet.com vimeo wistia youku youtube youtube.com"
    ),
    "shopping": (
        "aax.amazon-adsystem.com alibaba amazon amazon.co.uk apps.shopify.com checkout.shopify.com checkout.stripe.com cr.shopping.naver.com ebay ebay.de etsy "
        "igshopping mercadolibre mercadolibre.com mercadolibre.com.ar s3.amazonaws.com shop.app shopify shopping shopzilla simplycodes.com stripe uk.shopping.net walmart"
    ),
    "social": (
        "43things academia.edu ameblo.jp answers.yahoo.com badoo bit.ly blog.naver.com blogger blogspot.com buzzfeed cafe.naver.com crunchyroll deviantart digg "
        "disqus douban facebook fb.me flickr flipboard foursquare glassdoor goodreads google+ groups.google.com hatena hi5 hootsuite houzz ig instagram kakao.com "
        "l.facebook.com line linkedin livejournal medium.com meetup messages.google.com messenger myspace news.ycombinator.com nicovideo.jp ning photobucket "
        "pinterest pinterest.co.uk pixiv.net plurk quora reddit scribd sites.google.com skype slideshare.net snapchat stackoverflow t.co tiktok tinyurl "
        "tripadvisor trustpilot tumblr twitter typepad vk.com wattpad wechat weebly weibo whatsapp wordpress xing yammer yelp yelp.co.uk zalo"
    ),
}


def test_the_sources_that_ga4_publishes_have_their_kind(spark):
    wanted = {name: kind for kind, names in GA4_SOURCES.items() for name in names.split()}
    rows = [(i, *hit(name, "x")) for i, name in enumerate(wanted)]
    found = with_traffic(spark.createDataFrame(rows, SHAPE), rules("channels")).select("utm_source", "source_kind").collect()
    assert {r["utm_source"]: r["source_kind"] for r in found} == wanted


# by kind, referrers' hosts, android-app packages and, where only a part is of that kind, host/path
REFERRERS = {
    "email": (
        "mail.google.com inbox.google.com outlook.live.com outlook.office.com outlook.office365.com mail.live.com snt148.mail.live.com hotmail.com "
        "mail.yahoo.com fr-mg42.mail.yahoo.com mail.yahoo.co.uk mail.yahoo.co.jp mail.yahoo.fr mail.aol.com webmail.aol.com icloud.com "
        "mail.proton.me app.tuta.com mail.tutanota.com app.fastmail.com app.hey.com mail.zoho.com mail.zoho.eu mailbox.org posteo.de hushmail.com "
        "navigator.gmx.net 3c.gmx.net lightmailer-bap.gmx.net deref-gmx.net deref-gmx.com 3c.web.de mail.web.de navigator.web.de deref-web.de "
        "email.t-online.de webmail.freenet.de email.ionos.de email.ionos.co.uk mailbusiness.ionos.com email.1und1.de webmail.strato.de bluewin.ch "
        "email.bluewin.ch mail.orange.fr messagerie.orange.fr orange.fr/webmail webmail.laposte.net zimbra.free.fr webmail.sfr.fr mail.libero.it "
        "mail.virgilio.it mail.tiscali.it mail.alice.it poczta.onet.pl poczta.wp.pl poczta.o2.pl poczta.interia.pl email.seznam.cz mail.centrum.cz "
        "e.mail.ru mail.rambler.ru mail.yandex.ru mail.yandex.com.tr mail.ukr.net mail.i.ua webmail.meta.ua mail.qq.com exmail.qq.com mail.163.com "
        "mail.126.com mail.sina.com.cn mail.sohu.com mail.naver.com mail.daum.net mail.nate.com mail.docomo.ne.jp webmail.sso.biglobe.ne.jp "
        "webmail.comcast.net connect.xfinity.com mail.att.net webmail.verizon.net webmail.cox.net webmail.charter.net webmail.spectrum.net "
        "webmail.earthlink.net email.bt.com mail2.virginmedia.com mail.sky.com webmail.talktalk.co.uk webmail.optusnet.com.au webmail.bigpond.com "
        "email.telstra.com webmail.optonline.net f4mail.rediff.com mail.terra.com.br email.uol.com.br email.bol.uol.com.br mail.sapo.pt "
        "mail.ovh.net mail.infomaniak.com mail.mynet.com eur01.safelinks.protection.outlook.com webmail.town.example mail2.town.example "
        "owa.town.example roundcube.town.example zimbra.town.example email.town.example mx.webmail.town.example "
        "com.google.android.gm com.yahoo.mobile.client.android.mail com.microsoft.office.outlook ch.protonmail.android ru.mail.mailapp"
    ),
    "search": (
        "yahoo.co.jp search.yahoo.co.jp yahoo.com web.de suche.web.de suche.gmx.net t-online.de suche.t-online.de search.bluewin.ch rambler.ru "
        "nova.rambler.ru aol.com sapo.pt go.mail.ru seznam.cz onet.pl wp.pl libero.it google.de com.google.android.googlequicksearchbox "
        "com.duckduckgo.mobile.android com.baidu.searchbox ru.yandex.searchplugin com.yahoo.mobile.client.android.search"
    ),
    "social": (
        "com.whatsapp com.whatsapp.w4b com.instagram.barcelona com.instagram.android com.facebook.katana com.facebook.orca com.twitter.android "
        "com.zhiliaoapp.musically com.linkedin.android com.reddit.frontpage org.telegram.messenger com.tencent.mm jp.naver.line.android "
        "com.discord com.slack xyz.blueskyweb.app com.snapchat.android com.pinterest my.mail.ru groups.google.com"
    ),
    "video": "com.google.android.youtube tv.twitch.android.app",
    "shopping": "com.amazon.mshop.android.shopping com.ebay.mobile",
    None: (
        "news.google.com docs.google.com finance.yahoo.com groups.yahoo.com news.mail.ru com.android.chrome mailchimpblog.com emailonacid.com "
        "mail-order-shop.example mailonline.co.uk dailymail.co.uk email-marketing-blog.de searchenginejournal.com thesocialshop.example "
        "webmaildomain.example emailmonday.example mailtrap.example gmailtips.example hotmailhelp.example hotmail-login.example owasp.org "
        "zimbrablog.example roundcubeforum.example inboxes.example posteoblog.example outlookindia.com protonmailreview.example posta.com.tr "
        "research.example socialsecurity.gov videomail.example yahoomailhelp.example webmailer-hosting.example deref-gmx.net.example "
        "notmail.ru fastmail.com.example mail"
    ),
}


def test_a_referrer_has_its_more_specific_kind(spark):
    wanted = {host: kind for kind, hosts in REFERRERS.items() for host in hosts.split()}
    rows = [
        (i, *hit(referrer=f"{'android-app' if host.startswith(('com.', 'org.', 'ru.m', 'ru.y')) else 'https'}://{host}/"))
        for i, host in enumerate(wanted)
    ]
    found = with_traffic(spark.createDataFrame(rows, SHAPE), rules("channels")).select("case", "source_kind").collect()
    hosts = list(wanted)
    assert {hosts[r["case"]]: r["source_kind"] for r in found} == wanted


@pytest.mark.parametrize("scheme", ["http", "android-app"])
def test_a_listed_host_beats_its_first_label_and_that_a_listed_domain_above_it(spark, scheme):
    kinds = {kind: {"hosts": (), "names": ()} for kind in rules("channels")["kinds"]}
    kinds |= {"search": {"hosts": ("portal.example", "mail.listed.example")}, "email": {"labels": ("mail", "webmail[0-9]*")}}
    wanted = {
        "portal.example": "search",
        "a.portal.example": "search",
        "mail.portal.example": "email",
        "webmail2.portal.example": "email",
        "mail.a.portal.example": "email",
        "a.mail.portal.example": "search",
        "mailer.portal.example": "search",
        "mail.listed.example": "search",
        "a.mail.listed.example": "search",
        "mail.mail.listed.example": "email",
        "mail.elsewhere.example": "email",
        "elsewhere.example": None,
    }
    rows = [(i, *hit(referrer=f"{scheme}://{host}/x")) for i, host in enumerate(wanted)]
    found = with_traffic(spark.createDataFrame(rows, SHAPE), {**rules("channels"), "kinds": kinds}).orderBy("case").collect()
    assert [r["source_kind"] for r in found] == list(wanted.values())


# referrers from which nobody comes, and their neighbours that are referrers
RETURNS = (
    "paypal.com www.sandbox.paypal.com checkout.stripe.com hooks.stripe.com pay.klarna.com live.adyen.com www.sofort.com www.mollie.com "
    "centinelapi.cardinalcommerce.com secure.worldpay.com www.paytrail.com secure.przelewy24.pl pay.ideal.nl pay.amazon.com shop.app "
    "checkout.square.site payments.braintreegateway.com live.opayo.co.uk portal.afterpay.com www.affirm.com blog.example www.forum.example.org"
)
NEIGHBOURS = "notpaypal.com paypal.com.example square.site example.org myblog.example"


def test_own_sites_and_payment_providers_bring_nobody(spark):
    declared = {**rules("channels"), "own_hosts": ("blog.example", "www.forum.example.org")}
    plain = [hit(referrer=f"https://{host}/pay?x=1") for host in RETURNS.split()]
    tagged = [
        hit("paypal", "referral", referrer="https://paypal.com/"),
        hit("paypal.com", referrer="https://paypal.com/"),
        hit(click="gclid", referrer="https://paypal.com/"),
        hit("checkout.stripe.com", "x", referrer="https://checkout.stripe.com/"),
    ]
    others = [hit(referrer=f"https://{host}/") for host in NEIGHBOURS.split()]
    rows = [(i, *row) for i, row in enumerate([*plain, *tagged, *others])]
    found = with_channel(with_traffic_key(spark.createDataFrame(rows, SHAPE)), declared).orderBy("case").collect()
    assert [(r["channel"], r["channel_rule"]) for r in found] == [
        *[("Direct", "1:direct")] * len(plain),
        ("Referral", "14:manual"),
        ("Unassigned", "none:manual"),
        ("Paid Search", "4:click_id"),
        ("Organic Shopping", "10:manual"),
        *[("Referral", "14:referrer")] * len(others),
    ]


def test_a_rule_of_one_s_own_fires_in_its_place_and_says_so(spark):
    own = {"number": 101, "channel": "Podcast", "when": "traffic_source = 'acast'"}
    changed = {**rules("channels"), "channels": (own, *rules("channels")["channels"])}
    rows = [(0, *hit("Acast", "audio")), (1, *hit("other", "audio"))]
    found = with_channel(with_traffic_key(spark.createDataFrame(rows, SHAPE)), changed).orderBy("case").collect()
    assert [(r["channel"], r["channel_rule"]) for r in found] == [("Podcast", "101:manual"), ("Audio", "17:manual")]
