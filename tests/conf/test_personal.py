"""What looks like an address or a phone number gives way; orders, products, prices, times and places never do."""

import re
import time
from urllib.parse import quote

import phonenumbers
import pytest
from hypothesis import assume, given, settings, strategies as st

from conf.personal import NUMBER, is_named, masked_text

PHONES = {
    "+447700900123": "[phone]",
    "call +44 7700 900123 now": "call [phone] now",
    "+44 (0)7700 900123": "[phone]",
    "+1 (555) 123-4567": "[phone]",
    "+49 170 1234567.": "[phone].",
    "\uff0b447700900123": "[phone]",
    "+44 7700 900123 2026": "[phone] 2026",
    "0049 170 1234567": "[phone]",
    "07700 900123": "[phone]",
    "0170-1234567": "[phone]",
    "0170 / 1234567": "[phone]",
    "030/1234567": "[phone]",
    "(020) 7946 0958": "[phone]",
    "06 12 34 56 78": "[phone]",
    "06.12.34.56.78": "[phone]",
    "010-1234-5678": "[phone]",
    "(555) 123-4567": "[phone]",
    "555-123-4567, please": "[phone], please",
    "555.234.4567": "[phone]",
    "tel:07700900123": "tel:[phone]",
    "Tel.: 07700900123": "Tel.: [phone]",
    "https://wa.me/447700900123": "https://wa.me/[phone]",
    "/call/07700%20900123/x": "/call/[phone]/x",
    "?q=%2B447700900123&x=1": "?q=[phone]&x=1",
    "?q=%252B44%25207700%2520900123": "?q=[phone]",
    "?q=call+%2B44+7700+900123": "?q=call+[phone]",
}
ADDRESSES = [
    "ann@mail.example", "ANN%40Mail.Example", "ann+shop@mail.example", "ann\uff20mail.example", "ann%EF%BC%A0mail.example", "ann\ufe6bmail.example",
    "ann&#64;mail.example", "ann&commat;mail.example", "ann\\u0040mail.example", '"ann smith"@mail.example', "änn@mäil.example", "ann@mail\uff0eexample",
    "ann%252540mail%25252Eexample",
]  # fmt: skip
OTHERS = [
    "1234567890", "4006381333931", "00012345678905", "400 638 1333931", "00491701234567", "550e8400-e29b-41d4-a716-446655440000",
    "12345678-1234-1234-1234-123456789012", "2026-000123", "O-2026-555-1234", "123-4567890-1234567", "#0012345678", "SKU-0012-3456-789",
    "2026-03-24T10:00:00+02:00", "2026-03-24 10:00:00.000000+0200", "01.02.2026 10:15", "01/02/2026", "01-02-2026", "01 02 2026 1530", "20260324-100000",
    "1700000000", "1700000000.123456", "2026/03/24/001", "+52.520008,+13.404954", "+48.856613999", "@52.5200080,13.4049540,15z", "192.168.100.200",
    "v1.2.3-20260324", "1,234,567.89", "12.50", "0.1234567", "1.5e+10000000", "[1, 2, 3, 4, 5, 6, 7, 8]", '{"price":12.50,"quantity":100,"n":2000000}',
    "ISBN 978-3-16-148410-0", "0-306-40615-2", "GB82 WEST 1234 5698 7654 32", "4111 1111 1111 1111", "?q=lamp+12345678", "?q=a%20%2012345678",
    "fb.1.1554763741205.AbCdEfGhIj1234567890", "GA1.2.1234567890.1234567890", "3 x 200 mm", "hotel 12345678901", "logo@2x.png", "vue@3.4.1",
]  # fmt: skip


@pytest.mark.parametrize(("text", "clean"), PHONES.items())
def test_a_phone_number_gives_way_by_its_signs(text, clean):
    assert masked_text(text) == clean
    # and what stands in its place stays
    assert masked_text(clean) == clean


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_gives_way_however_it_is_written(address):
    assert masked_text(f"to {address} now") == "to [email] now" and is_named(address)


@pytest.mark.parametrize("text", OTHERS)
def test_what_only_has_digits_stays(text):
    assert masked_text(text) == text
    assert not is_named(text)


def test_an_id_is_named_by_more_than_what_ids_have_too():
    assert all(
        map(is_named, ["+447700900123", "tel:07911123456", "0049 170 1234567", "(555) 123-4567", "o-ann@mail.example", "%2B447700900123"])
    )
    assert not any(map(is_named, ["555-123-4567", "030/1234567", "0170-1234567", "O 1", "gid://shop/Order/4006381333931", "sku@v2", "a+b"]))


EXAMPLES = sorted(
    {
        phonenumbers.format_number(number, form)
        for region in phonenumbers.SUPPORTED_REGIONS
        if (number := phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE))
        for form in (phonenumbers.PhoneNumberFormat.E164, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        # Tokelau has seven digits, as many other things have
        if len(str(number.national_number) + str(number.country_code)) >= 8
    }
)


@settings(max_examples=300, deadline=None)
@given(number=st.sampled_from(EXAMPLES), place=st.sampled_from(["{}", "call {} now", "<{}>", "({})", "tel:{}", "/u/{}/x", "?q={}&x=1"]))
def test_every_country_s_numbers_give_way_escaped_or_not(number, place):
    digits = re.sub(r"\D", "", number)
    for written in (number, quote(number, safe=""), quote(number, safe="").replace("%20", "+"), quote(quote(number, safe=""), safe="")):
        found = masked_text(place.format(written))
        assert "[phone]" in found and digits not in re.sub(r"\D", "", found)


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.uuids().map(str),
        st.datetimes().map(str),
        st.datetimes().map(lambda moment: moment.strftime("%d.%m.%Y %H:%M")),
        st.integers(0, 10**18).map(str),
        st.decimals(0, 10**9, places=2).map(str),
        st.from_regex(r"[A-Z]{1,4}-[0-9]{4,12}", fullmatch=True),
        st.from_regex(r"[0-9]{3}-[0-9]{7}-[0-9]{7}", fullmatch=True),
        st.from_regex(r"(20[0-9]{2})-[0-9]{4,8}", fullmatch=True),
    )
)
def test_no_id_price_or_time_is_taken_for_a_phone_number(text):
    assume("@" not in text)
    for place in ("{}", "order {} of today", "/orders/{}/x", "?id={}&x=1", '{{"id":"{}"}}'):
        assert masked_text(place.format(text)) == place.format(text)


@pytest.mark.parametrize(
    "text", ["+1" + " 1" * 200_000, "0" * 200_000, "(" * 200_000 + "1", "01 22 " * 100_000, '"a ' * 100_000 + "@", "555-" * 100_000]
)
def test_a_text_of_any_length_takes_time_by_its_length(text):
    began = time.process_time()
    masked_text(text)
    NUMBER.search(text)
    assert time.process_time() - began < 5
