"""Known secrets in every encoding in which they travel; unknown ones by their company."""

from __future__ import annotations

import base64
import html
import json
import random
import re
import string
import time
from urllib.parse import quote, quote_plus

import pytest

from sentinel.redaction import Redaction, hide_shapes, tells_secret

SEED = 5
SIGNS = string.ascii_letters + string.digits + "!@#%&/\\\"'<> +=~.:-_üß€😀"


def _make_secrets() -> list[str]:
    chance = random.Random(SEED)
    return ["".join(chance.choices(SIGNS, k=chance.randint(6, 24))) for _ in range(40)]


def _texts(secret: str) -> list[str]:
    """The secret as texts have it."""
    return [
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        quote(quote(secret)),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(secret))[1:-1],
        html.escape(secret),
        html.escape(secret).replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
        repr(secret)[1:-1],
        ascii(secret)[1:-1],
        repr(secret.encode())[2:-1],
        secret.encode().hex(),
        secret.encode().hex().upper(),
    ]


def _base64(secret: str) -> list[str]:
    """And inside of what is base64: alone, behind users of every length, before something else."""
    found = []
    for raw in (
        f"{user}{secret}{rest}" for user in ("", "u:", "us:", "use:") for rest in ("", "+")
    ):
        plain = base64.b64encode(raw.encode()).decode()
        safe = base64.urlsafe_b64encode(raw.encode()).decode()
        found += [plain, safe, plain.rstrip("="), quote(plain, safe="")]
    return found


@pytest.mark.parametrize("secret", _make_secrets())
def test_a_known_secret_is_hidden_in_every_encoding(secret):
    """Nothing of it is left, whichever way it was written; seed 5."""
    scrub = Redaction([secret]).scrub
    for text in (*_texts(secret), *_base64(secret)):
        clean = scrub(f"<{text}>")
        assert set(clean.strip("<>\"'")) <= {"*", '"', "\\"}, (text, clean)


@pytest.mark.parametrize("secret", [f"kQ9x2{secret}" for secret in _make_secrets()])
def test_a_secret_that_was_cut_is_hidden(secret):
    """Foreign texts are shortened before they come here: what is left of a secret goes, too.
    A whole secret whose last sign was cut leaves that sign's rest: `%2`, `&amp`.
    """
    scrub = Redaction([secret]).scrub
    for text in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], html.escape(secret)):
        for length in range(5, len(text) + 1):
            for around in (f"got <{text[:length]}…", f"{'x ' * 60}<{text[:length]}"):
                left = scrub(around).partition("<")[2].rstrip("…")
                assert re.fullmatch(r"\*\*\*(|[2amp]{1,3})", left), text[:length]


def test_a_word_that_a_secret_begins_with_stays():
    """Only where a text ends may it have been cut."""
    scrub = Redaction(["redis-kQ9x2"]).scrub
    assert scrub(f"{'x ' * 60}redis_server answers") == f"{'x ' * 60}redis_server answers"
    assert scrub(f"{'x ' * 60}of redis_server").endswith("of redis_server")


def test_nothing_else_is_hidden():
    """A text without secrets stays as it is, also beside many of them."""
    text = "registry answers in 5 ms; stream `events` has 5 entries of group g (trace 0af7651916cd)"
    assert Redaction(_make_secrets()).scrub(text) == text


def test_base64_is_hidden_as_a_whole():
    """What stands around the secret in the same word would tell its user, and parts of it."""
    word = base64.b64encode(b"agent:hidden-word").decode()
    clean = Redaction(["hidden-word"]).scrub(f"sent Basic-{word}, got 401")
    assert word[:8] not in clean
    assert clean.endswith(", got 401")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"typed sentinel_{'aB3_' * 10}aB- there", "typed *** there"),
        ("redis://agent:7?kT9-x@bus/0 failed", "redis://agent:***@bus/0 failed"),
        ("redis://agent:pa/ss#w@bus/0", "redis://agent:***@bus/0"),
        ("http://h/p?limit=5&x=abc#f", "http://h/p?limit=***&x=***#f"),
        ("authorization: Basic YTpi", "authorization: Basic ***"),
        ("Authorization: opaque-word", "Authorization: ***"),
        ("Set-Cookie: a=b; c=d", "Set-Cookie: ***"),
        ("run --api-key abc --name n", "run --api-key *** --name n"),
        ("run SHOP_TOKEN=abc x", "run SHOP_TOKEN=*** x"),
        ('{"pass":{"token":"{abc"}}', '{"pass":{"token":"***"}}'),
    ],
)
def test_what_nobody_told_us_is_hidden_by_its_company(text, clean):
    """Addresses, also malformed ones, queries, headers, options."""
    assert hide_shapes(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "http://host:80/a@b",
        "sentinel_task_assignment_seconds_of_all_tenants_tog",
        "basic authentication failed",
        "the token was refused",
        "- token - words",
        "started http://127.0.0.1:9131/ with 5 checks",
        '{"pass":{"no_token":["/api/tasks"],"token":[]},"secret": {}}',
    ],
)
def test_plain_words_stay(text):
    """They only look like one."""
    assert hide_shapes(text) == text


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("API_TOKEN", True),
        ("password", True),
        ("x-api-key", True),
        ("sig", True),
        ("auth", True),
        ("PGPASSWORD", True),
        ("sslpassword", True),
        ("clientsecret", True),
        ("SMTPPASS", True),
        ("DB2_PASSWORDS", True),
        ("PGPASSFILE", False),
        ("compass", False),
        ("bypass", False),
        ("passwordless", False),
        ("author", False),
        ("signal", False),
        ("HOME", False),
        ("tokenizer", False),
    ],
)
def test_names_that_tell(name, is_secret):
    """Whole words only."""
    assert tells_secret(name) is is_secret


@pytest.mark.parametrize(
    "unit", ["\\", "-", "://a:", "http://", "token ", "%25", "&amp;", "a_", "basic ", "A"]
)
def test_hostile_text_costs_no_more_than_its_length(unit):
    """64 KiB of what expressions may stumble over; quadratic time would be minutes."""
    redaction = Redaction(_make_secrets())
    text = unit * (65536 // len(unit))
    began = time.process_time()
    redaction.scrub(text)
    assert time.process_time() - began < 5.0
