"""What the sandbox world is made of: products, campaigns, ways in, browsers, names. Plain lists, in a fixed order."""


from __future__ import annotations

from dataclasses import dataclass

SITE = "https://shop.example"
CATEGORIES = ("mugs", "lamps", "cushions", "prints", "candles", "toys", "stationery", "garden")
MATERIALS = (
    "Ceramic", "Oak", "Linen", "Brass", "Glass", "Wool", "Cork",
    "Slate", "Paper", "Copper", "Bamboo", "Cotton", "Marble", "Felt", "Clay",
)  # fmt: skip
NOUNS = ("Mug", "Lamp", "Cushion", "Print", "Candle", "Puzzle", "Notebook", "Planter")
FIRST_NAMES = (
    "Ada", "Ben", "Cara", "Dev", "Elin", "Femi", "Grace", "Hugo", "Isla", "Jon", "Kira", "Leo", "Mina", "Noah", "Orla", "Paul",
    "Quinn", "Rosa", "Sam", "Tara", "Uma", "Vera", "Will", "Xena", "Yara", "Zack", "Anya", "Bram", "Cleo", "Dana", "Emil", "Faye",
)  # fmt: skip
LAST_NAMES = (
    "Archer", "Baker", "Carver", "Dyer", "Eaton", "Fisher", "Glover", "Hayes", "Irwin", "Joiner", "Keller", "Lister", "Mason", "Naylor",
    "Oakley", "Potter", "Quill", "Reeve", "Sawyer", "Tanner", "Usher", "Vance", "Weaver", "Yates", "Abbot", "Brewer", "Cooper", "Draper",
)  # fmt: skip
MAIL_HOSTS = ("mail.example", "post.example", "inbox.example")
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


# What an ad account calls its network, and the channel it is booked on.
NETWORKS = {
    "search": "Paid Search",
    "shopping": "Paid Shopping",
    "social": "Paid Social",
    "display": "Display",
    "affiliate": "Affiliates",
}


@dataclass(frozen=True)
class Ad:
    """One advertisement, as its ad account reports it. costs are GBP per click; rate is clicks per impression."""

    account_id: str
    network: str
    campaign_id: str
    campaign_name: str
    ad_group_id: str
    ad_id: str
    cost_per_click: float
    click_rate: float


@dataclass(frozen=True)
class Entry:
    """One way into the site: what the landing page's address and referrer say about it."""

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


ADS = (
    Ad("google-100", "search", "g-11", "brand-search", "g-11-1", "g-11-1-a", 0.35, 0.120),
    Ad("google-100", "search", "g-11", "brand-search", "g-11-1", "g-11-1-b", 0.38, 0.110),
    Ad("google-100", "search", "g-12", "gifts-search", "g-12-1", "g-12-1-a", 0.82, 0.045),
    Ad("google-100", "search", "g-12", "gifts-search", "g-12-2", "g-12-2-a", 0.74, 0.040),
    Ad("google-100", "shopping", "g-13", "lamps-shopping", "g-13-1", "g-13-1-a", 0.51, 0.021),
    Ad("meta-200", "social", "m-21", "prospecting-autumn", "m-21-1", "m-21-1-a", 0.62, 0.011),
    Ad("meta-200", "social", "m-21", "prospecting-autumn", "m-21-2", "m-21-2-a", 0.58, 0.012),
    Ad("meta-200", "social", "m-22", "returning-visitors", "m-22-1", "m-22-1-a", 0.44, 0.017),
    Ad("display-300", "display", "d-31", "autumn-banners", "d-31-1", "d-31-1-a", 0.21, 0.003),
    Ad("display-300", "display", "d-31", "autumn-banners", "d-31-1", "d-31-1-b", 0.19, 0.002),
    Ad("affiliate-400", "affiliate", "a-41", "voucher-partners", "a-41-1", "a-41-1-a", 0.95, 0.060),
)


def _ad_entry(channel: str, weight: float, ad: int, source: str, medium: str, term: str, referrer: str, click: str) -> Entry:
    one = ADS[ad]
    return Entry(channel, weight, source, medium, one.campaign_name, one.campaign_id, one.ad_id, term, referrer, click, ad)


GOOGLE, META = "https://www.google.com/", "https://l.facebook.com/"
ENTRIES = (
    _ad_entry("paid_search", 3.0, 0, "google", "cpc", "shop", GOOGLE, "gclid"),
    _ad_entry("paid_search", 2.0, 1, "google", "cpc", "shop gifts", GOOGLE, "gclid"),
    _ad_entry("paid_search", 3.0, 2, "google", "cpc", "handmade gifts", GOOGLE, "gclid"),
    _ad_entry("paid_search", 2.0, 3, "google", "cpc", "gift ideas", GOOGLE, "gclid"),
    _ad_entry("paid_search", 1.5, 4, "google", "cpc", "", GOOGLE, "gclid"),
    # auto-tagging without manual tags: only the click id says it was paid
    Entry("paid_search", 1.5, referrer=GOOGLE, click_id_type="gclid", ad=2),
    _ad_entry("paid_social", 3.0, 5, "facebook", "paid_social", "", META, "fbclid"),
    _ad_entry("paid_social", 2.5, 6, "instagram", "paid_social", "", "https://l.instagram.com/", "fbclid"),
    _ad_entry("paid_social", 2.0, 7, "facebook", "paid_social", "", META, "fbclid"),
    _ad_entry("display", 2.0, 8, "newsnet", "display", "", "https://news.example/", ""),
    _ad_entry("display", 1.5, 9, "newsnet", "banner", "", "https://weather.example/", ""),
    _ad_entry("affiliates", 2.0, 10, "vouchers", "affiliate", "", "https://vouchers.example/", ""),
    Entry("organic", 5.0, referrer=GOOGLE),
    Entry("organic", 1.2, referrer="https://www.bing.com/"),
    Entry("organic", 0.8, referrer="https://duckduckgo.com/"),
    Entry("organic_social", 1.2, referrer="https://www.instagram.com/"),
    Entry("organic_social", 0.8, "pinterest", "social", "autumn-board", referrer="https://www.pinterest.com/"),
    Entry("assistant", 0.5, referrer="https://chatgpt.com/"),
    Entry("referral", 1.0, referrer="https://giftblog.example/"),
    Entry("direct", 1.0),
)
CHANNELS = ("paid_search", "paid_social", "display", "affiliates", "organic", "organic_social", "assistant", "referral", "direct", "email")
# How visitors come the first time, and when they know the shop; order of CHANNELS.
FIRST_VISIT = (0.24, 0.19, 0.10, 0.05, 0.22, 0.06, 0.02, 0.05, 0.07, 0.00)
LATER_VISIT = (0.16, 0.09, 0.04, 0.05, 0.14, 0.03, 0.01, 0.02, 0.24, 0.22)
# How likely a visit of the channel ends in an order, against the average visit.
BUYS = (1.25, 0.65, 0.40, 1.55, 1.0, 0.55, 1.1, 0.9, 1.15, 1.45)
