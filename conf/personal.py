"""What names a person by its looks: e-mail addresses and phone numbers, in whatever text, escaped or not.

A phone number is one by its signs only: a + before 8 to 15 digits, a word before it (tel: 07700900123), 00 or a trunk 0 before groups, or
groups as North America writes them. Most other numbers are an order's, a product's or a time, so digits alone are left as they are.
Sources: RFC 5321 and 5322 (mailboxes), RFC 3966 (tel:), E.164 (length); libphonenumber knows the lengths of each country's numbers.
Known limits: "ann at mail dot example", a mailbox with none of the signs that stand in most of them, digits that no sign precedes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

EMAIL, PHONE = "[email]", "[phone]"
# how often a text may be escaped, one escape in another
DEEPEST = 9


def escaped(codes: str) -> str:
    """A pattern of percent escapes of the codes, themselves escaped or not: %40, %2540, %252540."""
    return rf"%(?:25){{0,{DEEPEST}}}(?:{codes})"


# as mail programs, HTML, JSON and wide East Asian letters write it
AT = rf"(?:[@\uff20\ufe6b]|{escaped('40|EF%(?:25)*BC%(?:25)*A0|EF%(?:25)*B9%(?:25)*AB')}|&#0*64;|&#x0*40;|&commat;|\\+u0040)"
DOT = rf"(?:[.\uff0e\u3002\uff61]|{escaped('2E')})"
LETTER = rf"(?:[^\W\d_]|{escaped('4[1-9A-F]|5[0-9A]|6[1-9A-F]|7[0-9A]|[89A-F][0-9A-F]')})"
OF_A_LABEL = rf"(?:[\w-]|{escaped('2D|3[0-9]|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9A]|[89A-F][0-9A-F]')})"
# no escape of a character that is an @ itself
OF_A_MAILBOX = rf"(?:[\w.+'!$*^|~-]|(?!{AT}){escaped('2[147ABDE]|3[0-9]|4[1-9A-F]|5[0-9AEF]|6[0-9A-F]|7[0-9ACE]|[89A-F][0-9A-F]')})"
QUOTED = r'"[^"\\\s@]{1,64}(?: [^"\\\s@]{1,64}){0,4}"'
# logo@2x.png is a picture for fine screens, and no top-level domain is called like a kind of file
FILE = "png|jpe?g|gif|webp|svg|avif|bmp|ico|css|m?js|json|html?|php|pdf|tgz|whl|jar|xml|txt"
ADDRESS = re.compile(
    # bounded, so that a long text without an @ takes time by its length and not by its square
    rf"(?:(?!['!$*^|~.-]){OF_A_MAILBOX}{{1,64}}+|{QUOTED}){AT}"
    rf"(?:{OF_A_LABEL}{{1,63}}+{DOT}){{1,9}}(?!(?:{FILE})(?![\w-]))(?:xn--[\w-]++|{LETTER}{{2,63}}+)"
    # any other escape is passed as a whole: its digits are no part of a mailbox
    rf"|(%(?:25){{0,{DEEPEST}}}[0-9A-F]{{2}})",
    re.IGNORECASE,
)
HAS_AT = re.compile(AT, re.IGNORECASE)

GAP = rf"(?:[ .()/\u00a0\u2007-\u2015\u202f-]|\+|{escaped('20|28|29|2D|2F|A0|C2%(?:25)*A0')})"
BLANK = rf"(?:[ \u00a0\u202f]|\+|{escaped('20')})"
OPENED, CLOSED = rf"(?:\(|{escaped('28')})", rf"(?:\)|{escaped('29')})"
WIDE = rf"(?:{BLANK}|{OPENED}|{CLOSED}|/)"
DIGIT = "[0-9]"
# where a number may begin and end: not within a word, another number, an amount
BEGIN, END = r"(?<![\w.+-])(?<!%)", rf"(?![\w-]|[.,:]{DIGIT})"
WORDS = "tel|telephone|telefon|phone|mobile|mobil|handy|fax|sms|callto|whatsapp"
PHONES = {
    "worded": rf"(?<![A-Za-z])(?:(?:{WORDS})(?:\.?:|\.){BLANK}?|wa\.me/)(?P<worded>\+?\(?{DIGIT}(?:{GAP}{{0,2}}{DIGIT}){{6,14}})(?!{DIGIT})",
    "plus": rf"(?:(?<![\w+])[+\uff0b]|{escaped('2B')}){GAP}?(?P<plus>[1-9](?:{GAP}{{0,3}}{DIGIT}){{7,17}})(?!{DIGIT})",
    "zeros": rf"{BEGIN}00{WIDE}?(?P<zeros>[1-9](?:{WIDE}{{0,2}}{DIGIT}){{7,14}}){END}",
    "trunk": (
        rf"(?P<trunk>(?:{BEGIN}0[1-9]{DIGIT}{{1,4}}(?:{BLANK}|{BLANK}?-{BLANK}?)|(?<![/\w.+-])0[1-9]{DIGIT}{{1,4}}{BLANK}?/{BLANK}?"
        rf"|(?<![\w(]){OPENED}0[1-9]{DIGIT}{{0,4}}{CLOSED}{BLANK}?)"
        rf"(?:{DIGIT}{{5,8}}|{DIGIT}{{2,4}}(?:{BLANK}{DIGIT}{{2,4}}){{1,3}}|{DIGIT}{{3,4}}-{DIGIT}{{4}}){END}"
        rf"|{BEGIN}0[1-9](?P<gap>[.-]|{BLANK}){DIGIT}{{2}}(?:(?P=gap){DIGIT}{{2}}){{3}}{END})"
    ),
    "american": (
        rf"(?P<american>(?<![\w(]){OPENED}[2-9]{DIGIT}{{2}}{CLOSED}{BLANK}?{DIGIT}{{3}}(?:[-.]|{BLANK}){DIGIT}{{4}}{END}"
        rf"|{BEGIN}(?:1-)?[2-9]{DIGIT}{{2}}-{DIGIT}{{3}}-{DIGIT}{{4}}{END}"
        rf"|{BEGIN}[2-9]{DIGIT}{{2}}(?P<mark>\.|{BLANK})[2-9]{DIGIT}{{2}}(?P=mark){DIGIT}{{4}}{END})"
    ),
}
NUMBER = re.compile("|".join(PHONES.values()), re.IGNORECASE)
IS_DATED = re.compile(rf"0[1-9]\D{DIGIT}{{2}}\D(?:19|20){DIGIT}{{2}}")
IS_DECIMAL = re.compile(rf"{DIGIT}+\.{DIGIT}+")
# without one of these an id names nobody
HAS_ID_SIGNS = re.compile(r"[@%&+ ():\\\u00a0\u202f\uff0b\uff20\ufe6b]")
# what every text fits in which NUMBER may find something, in the dialect of RE2, which knows no look-around
SIGN, BEFORE = r"[^0-9A-Za-z:,;=&\"]", "(?:^|[^0-9.])"
NUMBER_GUARD = (
    r"[+\x{ff0b}][^0-9A-Za-z]{0,3}[1-9][^A-Za-z]{7}|2[Bb][^0-9A-Za-z]{0,3}[1-9]|[0-9]%2[0-9Dd]%?[(0-9]"
    rf"|(?i:{WORDS}|wa\.me)[.:/][^A-Za-z]{{7}}|{BEFORE}0[1-9][0-9]{{0,4}}{SIGN}{{1,3}}[0-9]{{2}}[^A-Za-z:,;=&\"]{{4}}"
    rf"|{BEFORE}00{SIGN}{{0,2}}[1-9][0-9]{{0,13}}{SIGN}{{1,2}}[0-9]|[2-9][0-9]{{2}}{SIGN}{{1,2}}[0-9]{{3}}{SIGN}[0-9]{{4}}"
)


def unescaped(text: str) -> str:
    """The text without percent escapes, however often it was escaped."""
    for _ in range(DEEPEST + 1):
        if "%" not in text or (plain := unquote(text)) == text:
            break
        text = plain
    return text


def without_addresses(text: str) -> str:
    """The text with [email] for every e-mail address in it."""
    return ADDRESS.sub(lambda found: found[1] or EMAIL, text) if HAS_AT.search(text) else text


@lru_cache(maxsize=10_000)
def is_possible(digits: str) -> bool:
    """Whether so many digits after a + are some country's number."""
    import phonenumbers

    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_possible_number_with_reason(number) == phonenumbers.ValidationResult.IS_POSSIBLE)


def _longest_possible(text: str) -> int:
    """How many characters of digits and gaps are an international number; 0 where none of its groups end one."""
    for end in (len(text), *(gap.start() for gap in reversed(list(re.finditer(GAP + "+", text, re.IGNORECASE))))):
        plain = re.sub(r"\(0\)", "", unescaped(text[:end]))
        if not IS_DECIMAL.fullmatch(plain) and is_possible(re.sub(r"\D", "", plain)):
            return end
    return 0


def _replaced(found: re.Match[str]) -> str:
    """What a match of NUMBER gives way to: itself where it is no phone number on a second look."""
    whole, kind = found[0], next(name for name in PHONES if found[name] is not None)
    digits = re.sub(r"\D", "", unescaped(found[kind]))
    if kind in ("plus", "zeros"):
        end = _longest_possible(found[kind])
        if not end or (kind == "zeros" and len(digits) == len(found[kind]) and whole.startswith("00" + digits)):
            return whole
        return PHONE + found[kind][end:]
    if kind == "worded":
        return whole[: found.start(kind) - found.start()] + PHONE
    return PHONE if kind == "american" or (9 <= len(digits) <= 12 and not IS_DATED.match(whole)) else whole


def without_phones(text: str) -> str:
    """The text with [phone] for every phone number in it."""
    return NUMBER.sub(_replaced, text)


def masked_text(text: str) -> str:
    """The text with [email] and [phone] for what looks like one."""
    return without_phones(without_addresses(text))


def is_named(identifier: str) -> bool:
    """Whether an id holds an address, or a phone number by more than hyphens, dots and slashes, which ids have too."""
    if not HAS_ID_SIGNS.search(identifier):
        return False
    if without_addresses(identifier) != identifier:
        return True
    return any(_replaced(found) != found[0] and HAS_ID_SIGNS.search(found[0]) for found in NUMBER.finditer(identifier))
