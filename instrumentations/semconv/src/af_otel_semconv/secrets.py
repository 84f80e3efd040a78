"""What credentials look like: one list, for the processes and for the Collector.

The patterns ignore case and are in the syntax that Python's `re`, with ASCII classes, shares with
Go's RE2: there are no look-arounds. `tools/generate_docs.py` writes them into
collector-config/base.yaml.
"""

from __future__ import annotations

from typing import Final

# Words that announce a credential. `tokens` and `tokenizer` are no `token`.
_KEY: Final = (
    "(?:api|access|account|private|secret|ssh|shared|auth|signing|encryption|master)"
    "[_-]?(?:access[_-]?)?key(?:[_-]?id)?"
)
_WORD: Final = (
    "passw(?:or)?ds?|passphrase|pwd|secrets?|authorization|cookies?|credentials?|sessionid"
    f"|[cx]srf(?:[_-]?token)?|signature|connection[_-]?string|{_KEY}"
)
# Words that do so as a whole only: `bypass=true` has no `pass`.
_SHORT: Final = "auth|pass|jwt|dsn|otp|bearer|ticket"
# Parameters of a query. Elsewhere, `state=running` and `code=200` are no credentials.
_PARAMETER: Final = f"code|state|key|sig|nonce|pin|{_SHORT}"
_SUFFIX: Final = "(?:[_-]?(?:value|text|string|hash|new|old|[0-9]{1,3}))?"

# `=` also as it is in a URL that is a parameter itself, perhaps of a third one.
_EQUALS: Final = r"(?:\s*=\s*|%(?:25)*3d)"
_AMPERSAND: Final = r"(?:[?&;#]|\\u0026|%(?:25)*(?:3f|26|23))"
# A string of JSON, also of JSON in a string, or of Python.
_QUOTED: Final = r"""\\*"(?:[^"\\]|\\+[^"\\])+|'(?:[^'\\]|\\+[^'\\])+"""
_END: Final = r"""\s"'&;\\"""
# Up to `%26`, an `&`.
_CHARACTER: Final = rf"[^{_END}%]|%[013-9a-f]|%2[0-57-9a-f]"
_PLAIN: Final = f"(?:{_CHARACTER})+"
# With a letter, or of six digits: not a count, as in `token=512` and `pass=12`.
_NO_COUNT: Final = rf"[^{_END}%a-z_]*[a-z_](?:{_CHARACTER})*|[0-9]{{6,}}"
# With a digit, long, or the end of base64: not a word of a sentence.
_RANDOM: Final = (
    r"[a-z_.~+/-]{0,20}[0-9][\w.~+/=-]{4,}|[a-z_.~+/-]{5,20}[0-9][\w.~+/=-]*"
    r"|[\w+/]{4,}=+|[\w.~+/-]{16,}"
)
# An option of a command whose value is a credential.
OPTION: Final = (
    "--?(?:[a-z0-9]{1,16}-){0,4}(?:token|passw(?:or)?d|pass|pwd|secret|auth|cookie|credentials?"
    "|(?:api|access|private)-key)"
)

# Group 1 is what stays before the credential; group 2, if there is one, what stays after it.
VALUES: Final = (
    # What is a credential by itself: private keys, JSON Web Tokens, tokens of forges and services.
    "()-----BEGIN [a-z ]*PRIVATE KEY-----(?s:.*)",
    r"()\beyj[\w-]{6,}\.[\w.-]+",
    r"()\b(?:github_pat_|glpat-|xox[a-z]-|dckr_pat_|gh[oprsu]_)[\w-]{6,}",
    r"()\b(?:hf_|npm_|pypi-|AIza)[\w-]{20,}",
    r"()\bsk-(?:[\w-]{16,}|\w{10,}|\w*[0-9]\w{5,}|[\w-]{5,}[0-9]\w*)",
    # The user and the password of a URL, with characters that should have been quoted.
    r"""(://)(?:[^/\s?#@"'\\<>:]*:[^/\s"'\\<>]*|[^/\s?#@"'\\<>]+)(@)""",
    # A header, to the end of its line.
    r"""((?:authorization|cookie)\s*:\s*)[^\s"'\\](?:[^\n"'\\]|="[^"\n]*")*""",
    rf"(\b(?:bearer|token|basic|negotiate|digest)\s+)(?:{_RANDOM})",
    r"(\bbearer\s+)[\w.~+/=-]{8,}",
    # An entry of JSON or YAML.
    rf"""((?:{_WORD}|token|\b(?:{_SHORT})){_SUFFIX}\\*["']\s*:\s*)(?:{_QUOTED})""",
    rf"""((?:{_WORD}){_SUFFIX}\\*["']?\s*:\s*)(?:{_QUOTED}|[^\s"'\\,{{}}\[][^\n"'\\,}}]*)""",
    rf"""(token{_SUFFIX}\s*:\s*)(?:{_QUOTED}|{_NO_COUNT})""",
    # An entry of a form, an environment or a query.
    rf"((?:{_WORD}){_SUFFIX}{_EQUALS})(?:{_QUOTED}|{_PLAIN})",
    rf"((?:token{_SUFFIX}|(?:\b|_)(?:{_SHORT})){_EQUALS})(?:{_QUOTED}|{_NO_COUNT})",
    rf"({_AMPERSAND}(?:{_PARAMETER})(?:=|%(?:25)*3d))(?:{_NO_COUNT})",
    rf"""((?:^|[\s"'])(?:code|state)=)(?:{_PLAIN}(&|\\u0026)|[\w.~-]{{16,}})""",
    # An option of a command, also in a list of arguments.
    rf"""({OPTION}(?:\s+|=|\\*["'],\s*)\\*["']?)[^\s"'\\-][^\s"'\\]*""",
)

# Values in which none of these patterns finds anything, as a whole. Most values of ours are such.
HARMLESS: Final = r"^(?:[0-9a-f-]*|[a-z/]*(?: [a-z/]{0,7}){0,3}|[\w./-]{0,8}|-?[0-9.]*|\*{4})$"

# Keys whose value is a credential, or somebody's name, whatever it looks like.
KEYS: Final = (
    rf"(?:{_WORD}|token){_SUFFIX}$",
    rf"(?:^|[._-])(?:{_SHORT}|x509_user_proxy){_SUFFIX}$",
    r"(?:^|[._-])(?:oauth|oidc)[._-](?:code|state|nonce)",
    r"^(?:url|http)\.query$|header[._-](?:referer|location)$",
    r"^user\.(?:name|full_name|email)$|^enduser\.(?:id|pseudo\.id)$",
)
# The same, on spans. Labels of metrics have these names for other things.
SPAN_KEYS: Final = (
    "^(?:source|pin)$",
    r"(?:^|\.)(?:cell|code|execute)\.(?:source|text|input|output)s?$",
)
# On spans, a credential unless the value is a plain word or a status, such as `running` or `200`.
STATE_KEYS: Final = ("code", "state")
STATE: Final = r"^(?:[a-z]+(?:[ _-][a-z]+)?|[0-9]{1,4})$"
