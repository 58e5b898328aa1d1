"""What the sandbox world is made of: products, campaigns, ways in, browsers, names. Plain lists, in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass, replace

SITE = "https://shop.example"
CATEGORIES = ("mugs", "lamps", "cushions", "prints", "candles", "toys", "stationery", "garden", "kitchen", "bathroom")
MATERIALS = (
    "Ceramic", "Oak", "Linen", "Brass", "Glass", "Wool", "Cork", "Slate", "Paper", "Copper", "Bamboo", "Cotton", "Marble", "Felt", "Clay",
    "Walnut", "Silk", "Pewter", "Enamel", "Wicker", "Granite", "Leather", "Porcelain", "Birch", "Jute",
)  # fmt: skip
# two kinds of things per category, in the categories' order; a product is a material and a kind
NOUNS = (
    "Mug", "Tumbler", "Lamp", "Lantern", "Cushion", "Throw", "Print", "Frame", "Candle", "Diffuser",
    "Puzzle", "Rattle", "Notebook", "Pencil Case", "Planter", "Bird House", "Bowl", "Chopping Board", "Soap Dish", "Towel Rail",
)  # fmt: skip
PRODUCTS = len(MATERIALS) * len(NOUNS)
PHRASES = ("made by hand in small batches", "finished with plant oils", "a gift that lasts", "for every day", "cast from a mould of 1920")
# what a review says: two openings per number of stars, from one to five, and what comes after either
OPENINGS = (
    "Broken after a week", "Not what the picture shows", "Thinner than I hoped", "Came late and scratched", "It does what it should",
    "Fair for the price", "Lovely to look at", "Better than I thought", "My favourite thing in the house", "I would buy it again tomorrow",
)  # fmt: skip
REMARKS = (
    "the parcel was well packed",
    "it was meant as a gift",
    "the colour is darker than shown",
    "delivery took four days",
    "the size is right",
)
SEARCHES = ("gift", "gift for her", "birthday", "large", "handmade", "sale", "blue")
FIRST_NAMES = (
    "Ada", "Ben", "Cara", "Dev", "Elin", "Femi", "Grace", "Hugo", "Isla", "Jon", "Kira", "Leo", "Mina", "Noah", "Orla", "Paul",
    "Quinn", "Rosa", "Sam", "Tara", "Uma", "Vera", "Will", "Xena", "Yara", "Zack", "Anya", "Bram", "Cleo", "Dana", "Emil", "Faye",
)  # fmt: skip
LAST_NAMES = (
    "Archer", "Baker", "Carver", "Dyer", "Eaton", "Fisher", "Glover", "Hayes", "Irwin", "Joiner", "Keller", "Lister", "Mason", "Naylor",
    "Oakley", "Potter", "Quill", "Reeve", "Sawyer", "Tanner", "Usher", "Vance", "Weaver", "Yates", "Abbot", "Brewer", "Cooper", "Draper",
)  # fmt: skip
MAIL_HOSTS = ("mail.example", "post.example", "inbox.example")
PLACEHOLDER_EMAILS = ("test@test.com", "null", "none@none.com", "noreply@example.com")
PLACEHOLDER_USERS = ("null", "0", "undefined", "guest")
PLACEHOLDER_PHONE = "0000000000"
NO_COOKIE = "00000000-0000-0000-0000-000000000000"
# Registered ranges of the countries named beside them, so that a look-up of an address finds one.
COUNTRIES = (("GB", "81.2", 0.72), ("DE", "91.0", 0.08), ("FR", "90.0", 0.06), ("IE", "86.40", 0.06), ("US", "24.0", 0.08))
EURO_COUNTRIES = ("DE", "FR", "IE")

AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
)
DESKTOP_AGENTS = 4  # the first so many; the rest are phones and tablets
BOT_AGENTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
)


# The picture proxy of a mail provider, and a scanner that follows every link before the letter is shown.
PROXY_AGENT = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
SCANNER_AGENT = "python-requests/2.32.3"

# What an ad account calls its network, and the channel it is booked on.
NETWORKS = {
    "search": "Paid Search",
    "shopping": "Paid Shopping",
    "social": "Paid Social",
    "display": "Display",
    "affiliate": "Affiliates",
}
NEWSLETTER = "newsletter"


@dataclass(frozen=True)
class Campaign:
    """What brings people, and what it truly does.

    lift: how much likelier one contact with it makes an order in the visits of the days after it, as a probability (lost by half every
    HALF_LIFE days). hold_out: share of people, drawn by chance, whom it never reaches. anyway: share of their visits that come directly
    instead. begins, ends: shares of the world's days. budget: GBP per day.
    """

    key: str
    campaign_id: str
    name: str
    group: str
    lift: float
    hold_out: float = 0.0
    anyway: float = 1.0
    begins: float = 0.0
    ends: float = 1.0
    account_id: str = ""
    budget: int = 0


HALF_LIFE = 4.0  # days
CAMPAIGNS = (
    Campaign("g-11", "21000000011", "brand-search", "Paid Search", 0.010, 0.0, 0.8, 0.0, 1.0, "google-100", 40),
    Campaign("g-12", "21000000012", "gifts-search", "Paid Search", 0.090, 0.1, 0.2, 0.0, 1.0, "google-100", 60),
    Campaign("g-13", "21000000013", "lamps-shopping", "Paid Shopping", 0.070, 0.0, 0.3, 0.0, 1.0, "google-100", 45),
    Campaign("b-14", "b-14", "gifts-bing", "Paid Search", 0.060, 0.0, 0.2, 0.0, 1.0, "microsoft-110", 15),
    Campaign("m-21", "120210000000021", "prospecting-autumn", "Paid Social", 0.110, 0.1, 0.1, 0.0, 1.0, "meta-200", 70),
    Campaign("m-22", "120210000000022", "returning-visitors", "Paid Social", 0.015, 0.1, 0.6, 0.0, 1.0, "meta-200", 40),
    Campaign("t-23", "1780000000000023", "short-films", "Paid Social", 0.050, 0.0, 0.1, 0.2, 0.9, "tiktok-210", 25),
    Campaign("l-24", "600000024", "office-gifts", "Paid Social", 0.030, 0.0, 0.1, 0.4, 1.0, "linkedin-220", 20),
    Campaign("d-31", "d-31", "autumn-banners", "Display", 0.012, 0.2, 0.4, 0.1, 0.9, "display-300", 30),
    Campaign("a-41", "a-41", "voucher-partners", "Affiliates", 0.015, 0.0, 0.7, 0.0, 1.0, "affiliate-400", 35),
    Campaign("s-61", "s-61", "weekend-texts", "SMS", 0.060, 0.1, 0.3, 0.0, 1.0, "text-600"),
    Campaign("u-71", "u-71", "back-in-stock", "Mobile Push Notifications", 0.025, 0.1, 0.4, 0.0, 1.0, "push-700"),
    Campaign("p-81", "p-81", "winter-catalogue", "Direct Mail", 0.070, 0.2, 0.0, 0.3, 0.4, "post-800"),
    # nobody pays for these: they have no campaign, but they may still convince somebody
    Campaign("organic", "", "", "Organic Search", 0.010),
    Campaign("organic_social", "", "", "Organic Social", 0.020),
    Campaign("assistant", "", "", "AI Assistant", 0.020),
    Campaign("referral", "", "", "Referral", 0.030),
    Campaign("direct", "", "", "Direct", 0.0),
    # all newsletters together: one has an id of its own
    Campaign(NEWSLETTER, "", "", "Email", 0.055, 0.1, 0.4, 0.0, 1.0, "mail-500"),
)
PLACES = {campaign.key: place for place, campaign in enumerate(CAMPAIGNS)}


@dataclass(frozen=True)
class Ad:
    """One advertisement, as its ad account reports it. key: its campaign's; cost in GBP per click; rate is clicks per impression."""

    network: str
    key: str
    ad_group_id: str
    ad_id: str
    cost_per_click: float
    click_rate: float

    @property
    def campaign(self) -> Campaign:
        return CAMPAIGNS[PLACES[self.key]]

    @property
    def campaign_id(self) -> str:
        return self.campaign.campaign_id


@dataclass(frozen=True)
class Entry:
    """One way into the site: what the landing page's address and referrer say about it, and GA4's channel group of exactly that."""

    channel: str
    weight: float
    source: str = ""
    medium: str = ""
    campaign: str = ""
    campaign_id: str = ""
    content: str = ""
    term: str = ""
    referrer: str = ""
    click_id_type: str = ""
    ad: int = -1
    group: str = ""


ADS = (
    Ad("search", "g-11", "2100000001110", "2100000001111", 0.35, 0.120),
    Ad("search", "g-11", "2100000001110", "2100000001112", 0.38, 0.110),
    Ad("search", "g-12", "2100000001210", "2100000001211", 0.82, 0.045),
    Ad("search", "g-12", "2100000001220", "2100000001221", 0.74, 0.040),
    Ad("shopping", "g-13", "2100000001310", "2100000001311", 0.51, 0.021),
    Ad("social", "m-21", "12021000000002110", "12021000000002111", 0.62, 0.011),
    Ad("social", "m-21", "12021000000002120", "12021000000002121", 0.58, 0.012),
    Ad("social", "m-22", "12021000000002210", "12021000000002211", 0.44, 0.017),
    Ad("display", "d-31", "d-31-1", "d-31-1-a", 0.21, 0.003),
    Ad("display", "d-31", "d-31-1", "d-31-1-b", 0.19, 0.002),
    Ad("affiliate", "a-41", "a-41-1", "a-41-1-a", 0.95, 0.060),
    Ad("search", "b-14", "b-14-1", "b-14-1-a", 0.48, 0.035),
    Ad("social", "t-23", "178000000000002310", "178000000000002311", 0.33, 0.009),
    Ad("social", "l-24", "60000002410", "60000002411", 1.90, 0.006),
)


def _ad_entry(channel: str, weight: float, ad: int, source: str, medium: str, term: str, referrer: str, click: str) -> Entry:
    one = ADS[ad]
    name, group = one.campaign.name, one.campaign.group
    return Entry(channel, weight, source, medium, name, one.campaign_id, one.ad_id, term, referrer, click, ad, group)


GOOGLE, META = "https://www.google.com/", "https://l.facebook.com/"
ENTRIES = (
    _ad_entry("paid_search", 3.0, 0, "google", "cpc", "shop", GOOGLE, "gclid"),
    _ad_entry("paid_search", 2.0, 1, "google", "cpc", "shop gifts", GOOGLE, "gclid"),
    _ad_entry("paid_search", 3.0, 2, "google", "cpc", "handmade gifts", GOOGLE, "gclid"),
    _ad_entry("paid_search", 2.0, 3, "google", "cpc", "gift ideas", GOOGLE, "gclid"),
    _ad_entry("paid_search", 1.5, 4, "google", "cpc", "", GOOGLE, "gclid"),
    # auto-tagging without manual tags: only the click id says it was paid
    Entry("paid_search", 1.5, referrer=GOOGLE, click_id_type="gclid", ad=2, group="Paid Search"),
    _ad_entry("paid_search", 1.2, 11, "bing", "cpc", "gift shop", "https://www.bing.com/", "msclkid"),
    _ad_entry("paid_social", 3.0, 5, "facebook", "paid_social", "", META, "fbclid"),
    _ad_entry("paid_social", 2.5, 6, "instagram", "paid_social", "", "https://l.instagram.com/", "fbclid"),
    _ad_entry("paid_social", 2.0, 7, "facebook", "paid_social", "", META, "fbclid"),
    _ad_entry("paid_social", 1.2, 12, "tiktok", "paid_social", "", "https://www.tiktok.com/", "ttclid"),
    _ad_entry("paid_social", 0.8, 13, "linkedin", "paid_social", "", "https://www.linkedin.com/", "li_fat_id"),
    _ad_entry("display", 2.0, 8, "newsnet", "display", "", "https://news.example/", ""),
    _ad_entry("display", 1.5, 9, "newsnet", "banner", "", "https://weather.example/", ""),
    _ad_entry("affiliates", 2.0, 10, "vouchers", "affiliate", "", "https://vouchers.example/", ""),
    Entry("organic", 5.0, referrer=GOOGLE, group="Organic Search"),
    Entry("organic", 1.2, referrer="https://www.bing.com/", group="Organic Search"),
    Entry("organic", 0.8, referrer="https://duckduckgo.com/", group="Organic Search"),
    Entry("organic_social", 1.2, referrer="https://www.instagram.com/", group="Organic Social"),
    Entry("organic_social", 0.8, "pinterest", "social", "autumn-board", referrer="https://www.pinterest.com/", group="Organic Social"),
    Entry("assistant", 0.5, referrer="https://chatgpt.com/", group="AI Assistant"),
    Entry("referral", 1.0, referrer="https://giftblog.example/", group="Referral"),
    Entry("sms", 1.0, "sms", "sms", "weekend-texts", "s-61", group="SMS"),
    Entry("push", 1.0, "firebase", "push", "back-in-stock", "u-71", group="Mobile Push Notifications"),
    Entry("direct", 1.0, group="Direct"),
)
# What is left of a way in when its tags are lost: the click id says so much, else the referrer.
CLICK_GROUPS = {
    "gclid": "Paid Search", "msclkid": "Paid Search", "fbclid": "Paid Social", "ttclid": "Paid Social", "li_fat_id": "Paid Social",
}  # fmt: skip
REFERRER_GROUPS = {
    "": "Direct", GOOGLE: "Organic Search", "https://www.bing.com/": "Organic Search", "https://duckduckgo.com/": "Organic Search",
    META: "Organic Social", "https://l.instagram.com/": "Organic Social", "https://www.instagram.com/": "Organic Social",
    "https://www.tiktok.com/": "Organic Social", "https://www.linkedin.com/": "Organic Social", "https://www.pinterest.com/": "Organic Social",
    "https://chatgpt.com/": "AI Assistant", "https://mail.google.com/": "Email",
}  # fmt: skip


def as_tagged(entry: Entry) -> Entry:
    return entry


def in_capitals(entry: Entry) -> Entry:
    return replace(entry, source=entry.source.upper(), medium=entry.medium.upper(), campaign=entry.campaign.title())


def without_tags(entry: Entry) -> Entry:
    """Only the click id, if there is one, or the referrer still tells."""
    group = CLICK_GROUPS.get(entry.click_id_type) or REFERRER_GROUPS.get(entry.referrer, "Referral")
    return replace(entry, source="", medium="", campaign="", campaign_id="", content="", term="", group=group)


def without_referrer(entry: Entry) -> Entry:
    """An app opened it: neither referrer nor click id came along."""
    return replace(entry, referrer="", click_id_type="", group=entry.group if entry.source else "Direct")


# How a landing tells of its way in: as it should, and the mess of real life; in this order everywhere.
VARIANTS = (as_tagged, in_capitals, without_tags, without_referrer)

CHANNELS = (
    "paid_search", "paid_social", "display", "affiliates", "organic", "organic_social", "assistant", "referral", "direct", "email", "sms",
    "push",
)  # fmt: skip
# How visitors come the first time, and when they know the shop; order of CHANNELS.
FIRST_VISIT = (0.24, 0.19, 0.10, 0.05, 0.22, 0.06, 0.02, 0.05, 0.07, 0.00, 0.00, 0.00)
LATER_VISIT = (0.17, 0.10, 0.05, 0.06, 0.13, 0.03, 0.02, 0.03, 0.12, 0.21, 0.04, 0.04)
# Who comes this way would buy anyway, so much likelier than the average visitor; order of CHANNELS. This is what fools attribution:
# vouchers are looked for by those who already hold a basket, social ads reach those who had no plan.
INTENT = (1.3, 0.5, 0.4, 2.0, 1.0, 0.5, 1.1, 0.9, 1.3, 1.1, 0.9, 0.9)
BRAND_INTENT = 1.5  # of the entries of brand search, on top
