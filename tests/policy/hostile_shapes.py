"""Hostile files that need not know what a policy is: YAML, encodings, sizes, keys in odd places."""

from __future__ import annotations

from policy.policy_text import GOOD, changed

AN_API_KEY = "sk-proj-abcdefghijklmnop0123456789"
"""Stands in some of the files; no message may show it, or any piece of it."""
ENVIRON = {
    "LONG": "x" * 4_000,
    "SELF": "${SELF}",
    "FIRST": AN_API_KEY[:9],
    "SECOND": AN_API_KEY[9:],
    "LINES": "a\nkind: api",
}
MIB = 2**20
HUGE = 10 * MIB


def own(line: str) -> str:
    """Return the good policy with another line in the backend `own-eu`."""
    return changed("    price: free\n", f"    price: free\n    {line}\n")


ALIAS_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + previous] * 9)}]\n"
    for previous, name in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [*{previous}, *{previous}]}}\n"
    for previous, name in zip("abcdefgh", "bcdefghi", strict=True)
)

YAML = [
    ("alias-bomb", ALIAS_BOMB, "anchor &a is not allowed"),
    ("alias-bomb-behind-a-policy", GOOD + ALIAS_BOMB, "alias *a is not allowed"),
    ("alias-to-itself", "a: &a [*a]\n", "alias *a is not allowed"),
    ("alias-to-itself-as-key", "&a {*a : *a}\n", "is not allowed; repeat the value"),
    ("merge-bomb", MERGE_BOMB, "merge key '<<' is not allowed"),
    ("merge-key", changed("  own-eu:\n", "  own-eu:\n    <<: {a: b}\n"), "merge key '<<'"),
    ("5000-anchors", "".join(f"k{i}: &a{i} x\n" for i in range(5_000)), "more than 100 problems"),
    ("5000-aliases", "".join(f"k{i}: *a\n" for i in range(5_000)), "more than 100 problems"),
    ("python-object", "a: !!python/object/apply:os.system [ls]\n", "tag 'tag:yaml.org,2002:python"),
    ("core-tag", changed("version: 1", "version: !!int 1"), "tag 'tag:yaml.org,2002:int'"),
    ("binary-tag", changed("version: 1", "version: !!binary MQ=="), "2002:binary' is not allowed"),
    ("tag-of-our-own", changed("version: 1", "version: !env VERSION"), "tag '!env' is not"),
    ("tag-directive", f"%TAG ! tag:x.org,2000:\n---\n{GOOD}", "directives are not allowed"),
    ("yaml-1.1", f"%YAML 1.1\n---\n{GOOD}", "directives are not allowed"),
    ("two-documents", f"{GOOD}---\n{GOOD}", "a second document begins here"),
    ("document-after-the-end", f"{GOOD}...\nx: y\n", "not valid YAML"),
    ("duplicate-keys", changed("version: 1", "version: 2\nversion: 1"), "stands here twice"),
    ("5000-times-the-same-key", "a: 1\n" * 5_000, "more than 100 problems"),
    ("tab", changed("    kind: vllm", "\tkind: vllm"), "a tab; YAML is indented with spaces"),
    ("unclosed-list", "a: [1\n", "not valid YAML"),
    ("unclosed-string", "a: '" + "x" * 500_000, "not valid YAML"),
    ("two-colons", "a: b: c\n", "not valid YAML"),
    ("half-written", GOOD[: len(GOOD) * 2 // 3], "not valid YAML"),
    ("complex-key", "? [a, b]\n: x\n", "a key must be a word"),
    ("number-as-key", "1: x\n", "key '1' is not a string"),
    ("boolean-as-key", changed("  own-eu:\n", "  true:\n"), "key 'true' is not a string"),
    ("no-mapping", "[]", "must be a mapping with the keys version"),
    ("a-word", "x", "must be a mapping with the keys version"),
    ("empty", "", "must be a mapping with the keys version"),
    ("comments-only", "# nothing\n" * 1_000, "must be a mapping with the keys version"),
    ("document-marks-only", "---\n...\n", "must be a mapping with the keys version"),
]
DEPTH = [
    ("lists-2000-deep", "a: " + "[" * 2_000 + "]" * 2_000, "nested more than 32 levels"),
    ("lists-half-a-mebibyte-deep", "[" * (MIB // 2), "nested more than 32 levels"),
    ("mappings-30000-deep", "[" + "{a: " * 30_000, "nested more than 32 levels"),
    ("blocks-500-deep", "".join(" " * i + "a:\n" for i in range(500)), "nested more than 32"),
    ("dashes-100000-deep", "- " * 100_000 + "a", "nested more than 32 levels"),
    ("keys-500-deep", "? " * 500 + "a", "nested more than 32 levels"),
]
NUMBERS = [
    ("5000-digits", changed("version: 1", f"version: {'9' * 5_000}"), "a value of 5000 characters"),
    ("4000-digits", changed("version: 1", f"version: {'9' * 4_000}"), "has too many digits"),
    ("4000-hex-digits", changed("version: 1", f"version: 0x{'f' * 4_000}"), "has too many digits"),
    ("4000-digits-quoted", own(f"environments: '{'9' * 4_000}'"), "is not a name"),
    ("4000-decimals", f"a: 1.{'0' * 4_000}1\n", "has too many digits"),
    ("1e999", changed("version: 1", "version: 1e999"), "too large an exponent"),
    ("1e999999999", changed("version: 1", "version: 1e999999999"), "too large an exponent"),
    ("nan", changed("version: 1", "version: .nan"), "'.nan' is not a finite number"),
    ("infinity", changed("version: 1", "version: -.INF"), "'-.INF' is not a finite number"),
    ("kelvin", changed("[tools, json_schema]", "[tools]\n    context: 32\u212a"), "tokens; write 32K"),
    ("arabic-digits", changed("total: 10s", "total: ١٠s"), "is not a duration"),
    ("octal-is-ten", GOOD + "retries: {attempts_max: 010}\n", ""),
    ("norway", changed("{kind: api, base_url: https://api.example.com/v1, region: us",
                       "{kind: api, base_url: https://api.example.com/v1, region: NO"), ""),
    ("on-and-off-are-words", changed("environment: production", "environment: on"), ""),
    ("yes-is-no-flag", own("allow_plaintext: yes"), "'yes' is neither true nor false"),
    ("a-date-is-a-name", changed("environment: production", "environment: 2026-06-01"), ""),
    ("a-date-is-no-duration", changed("total: 10s", "total: 2026-06-01"), "is not a duration"),
    ("sexagesimal", changed("total: 10s", "total: 1:30"), "is not a duration"),
]  # fmt: skip
ENCODINGS = [
    ("nul", changed("production", "produc\0tion"), "control character U+0000"),
    ("escaped-nul", changed("production", '"produc\\0tion"'), "control character U+0000"),
    ("escape-sequence", changed("production", "\x1b[2Jproduction"), "control character U+001B"),
    ("byte-order-mark", b"\xef\xbb\xbf" + GOOD.encode(), ""),
    ("two-byte-order-marks", b"\xef\xbb\xbf" * 2 + GOOD.encode(), ""),
    ("utf-16", GOOD.encode("utf-16"), "the file is not UTF-8 text"),
    ("utf-16-big-endian", GOOD.encode("utf-16-be"), "control character U+0000"),
    ("utf-32", GOOD.encode("utf-32"), "the file is not UTF-8 text"),
    ("latin-1", changed("production", "produ\u00e7ao").encode("latin-1"), "not UTF-8 text"),
    ("overlong-utf-8", GOOD.encode() + b"\xc0\x80", "the file is not UTF-8 text"),
    ("surrogates", GOOD.encode() + b"# \xed\xa0\x80\n", "the file is not UTF-8 text"),
    ("cut-in-a-character", GOOD.encode() + "# é".encode()[:-1], "the file is not UTF-8 text"),
    ("a-program", b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 400, "the file is not UTF-8 text"),
    ("windows-line-ends", GOOD.replace("\n", "\r\n"), ""),
    ("line-ends-of-old", GOOD.replace("\n", "\r"), ""),
    ("line-separator", changed("version: 1", "# harmless\u2028version: 1"), "U+2028"),
    ("next-line", changed("version: 1", "# harmless\u0085version: 1"), "U+0085"),
    ("right-to-left", changed("version: 1", "version: 1 # \u202eneddibrof"), "U+202E"),
    ("cyrillic-key", changed("fallbacks:", "f\u0430llbacks:"), "did you mean 'fallbacks'?"),
    ("cyrillic-name", changed("use: [qwen3-8b]", "use: [qw\u0435n3-8b]"), "is not a model's name"),
    ("invisible-name", changed("[classify, extract]", '["classify\u200b"]'), "visible"),
    ("wide-digits", changed("version: 1", "version: \uff11"), "allowed: 1"),
]  # fmt: skip
SIZES = [
    ("10-mebibytes", "x" * HUGE, "larger than 524288 bytes"),
    ("10-mebibytes-of-lines", "\n" * HUGE, "larger than 524288 bytes"),
    ("10-mebibytes-of-comment", f"{GOOD}#{'x' * HUGE}", "larger than 524288 bytes"),
    ("a-long-comment", f"{GOOD}#{'x' * 500_000}\n", ""),
    ("200000-comments", GOOD + "#\n" * 200_000, ""),
    ("200000-empty-lines", "\n" * 200_000 + GOOD, ""),
    ("half-a-mebibyte-of-blanks", " " * (MIB // 2), "must be a mapping"),
    (
        "a-long-line",
        changed("kind: vllm", f"kind: '{'x' * 500_000}'"),
        "a value of 500000 characters",
    ),
    ("a-long-key", own(f"? {'k' * 500_000}\n    : x"), "a value of 500000 characters"),
    ("a-long-key-with-much-below", "? " + "k" * 500_000 + "\n: " + "{a: [!t 1, !t 1]}", "tag '!t'"),
    ("a-long-anchor", f"a: &{'a' * 500_000} x\n", "anchor of 500000 characters is not allowed"),
    ("a-long-tag", f"a: !{'a' * 500_000} x\n", "tag of 500001 characters"),
    ("a-long-block", own("environments: |\n" + "      x\n" * 60_000), "at most 4096 are read"),
    ("slashes", changed("kind: vllm", f"kind: '{'/' * 500_000}'"), "a value of 500000 characters"),
    ("dollars", changed("kind: vllm", f"kind: '{'${' * 2_000}'"), "more than 32 references"),
    ("bearers", changed("kind: vllm", f"kind: '{'bearer ' * 500}'"), "allowed: api, vllm"),
    ("40000-values", "[" + "a," * 40_000 + "]", "more than 6000 keys and values"),
    ("500000-commas", "[" + "," * 500_000 + "]", "not valid YAML"),
]
KEYS = [
    ("key-as-value", own(f"api_key: {AN_API_KEY}"), "a policy never holds a key"),
    ("key-as-its-name", own(f"api_key_env: {AN_API_KEY}"), "looks like an API key"),
    ("key-as-key", own(f"{AN_API_KEY}: x"), "looks like an API key"),
    ("key-as-backend", changed("  own-eu:\n", f"  {AN_API_KEY}:\n"), "looks like an API key"),
    ("key-as-model", changed("  qwen3-8b: {on", f"  {AN_API_KEY}: {{on"), "looks like an API key"),
    ("key-as-tag", f"a: !{AN_API_KEY} x\n", "is not allowed"),
    ("key-as-handle", f"a: !{AN_API_KEY}!y x\n", "not valid YAML"),
    ("key-as-anchor", f"a: &{AN_API_KEY} x\n", "is not allowed; repeat the value"),
    ("key-as-alias", f"a: *{AN_API_KEY}\n", "is not allowed; repeat the value"),
    ("key-as-directive", f"%{AN_API_KEY} x\n---\nversion: [\n", "not valid YAML"),
    ("key-as-duplicate", f"{AN_API_KEY}: 1\n{AN_API_KEY}: 2\n", "stands here twice"),
    ("key-in-a-header", own(f"headers: {{X-Account: 'Bearer {AN_API_KEY}'}}"), "looks like an API key"),
    ("key-in-a-url", changed("//vllm.internal", f"//joe:{AN_API_KEY}@vllm.internal"), "looks like"),
    ("key-in-a-query", changed("internal/v1", "internal/v1?key=0123456789ab"), "no query"),
    ("key-in-a-default", own(f"environments: ${{X:-{AN_API_KEY}}}"), "looks like an API key"),
    ("key-of-two-pieces", own("environments: ${FIRST}${SECOND}"), "looks like an API key"),
    ("key-in-a-condition", changed("{task: [classify, extract]}", f"{{tenant: {AN_API_KEY}}}"), "looks"),
    ("private-key", own("headers: {X-A: '-----BEGIN RSA PRIVATE KEY----- MIIE'}"), "looks like"),
    ("bare-key-as-its-name", own("api_key_env: 0123456789abcdef0123"), "is not the NAME"),
]  # fmt: skip
VARIABLES = [
    ("variable-in-a-variable", own("environments: ${${SELF}}"), "is not a reference"),
    ("variable-without-end", own("environments: ${SELF"), "is not a reference"),
    ("variable-without-name", own("environments: ${}"), "is not a reference"),
    ("variable-of-itself", changed("environment: production", "environment: ${SELF}"), "is not a name"),
    ("variable-with-lines", changed("environment: production", "environment: ${LINES}"), "control"),
    ("variable-with-a-secret-name", own("environments: ${MY_API_KEY}"), "holds a secret"),
    ("variable-with-a-long-name", own(f"environments: '${{{'A' * 4_000}}}'"), "not a reference"),
    ("variables-without-number", own(f"environments: '{'${LONG}' * 500}'"), "more than 32 ref"),
    ("variables-that-add-up", own(f"environments: '{'${LONG}' * 30}'"), "longer than 4096"),
    ("literal-dollars", changed("hosted-us: qwen3-8b,", "hosted-us: '$${SELF}',"), ""),
]  # fmt: skip
SHAPES = (*YAML, *DEPTH, *NUMBERS, *ENCODINGS, *SIZES, *KEYS, *VARIABLES)
