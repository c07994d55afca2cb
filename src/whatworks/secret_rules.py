"""What secrets look like: one table, which is loaded when a text may hold one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["COMMANDS", "EXACT", "FOLDED", "KEYWORD", "RULES", "Looked", "Rule", "chosen", "password"]


class Rule(NamedTuple):
    """How one kind of secret is recognised.

    Parameters
    ----------
    name
        Of the kind, as the mark says it.
    what
        The kind in words, for the documentation.
    literals
        One of them stands in every text that ``pattern`` can find something in: in one of its
        words of 15 or more characters, or, if ``fold``, anywhere in it in lower case.
    pattern
        Finds it; the secret is the group that matched, else all of it. Takes linear time: runs
        of any length begin behind a border or at a literal that cannot stand within them.
    fold
        Whether ``pattern`` is for the text in lower case.
    told
        What else must hold of the secret.
    shortest
        No shorter word holds one, where ``literals`` stand in many words.
    beside
        One of these stands there as well, where ``literals`` stand in many texts.
    """

    name: str
    what: str
    literals: tuple[str, ...]
    pattern: str
    fold: bool = False
    told: Callable[[str], bool] = bool
    shortest: int = 0
    beside: tuple[str, ...] = ()


# -- what else must hold --------------------------------------------------------------------------


_HARMLESS = (
    r"[\d.,:+/_-]+"  # numbers, dates, versions
    r"|(?:[A-Za-z]:\\|[~.]{0,2}/).*"  # paths
    r"|[a-z][a-z+]*://.*"  # addresses; what is secret in them has a rule of its own
    r"|\d{4}-\d\d-\d\d[T ].*"
    r"|[$%*<{@#].*"  # what a template fills in, a reference
    r"|(?:[A-Za-z_]\w*\.)+[A-Za-z_]\w*"  # names in programs, files
    r"|.*\.(?:py|md|json|ya?ml|toml|txt|pem|env|ini|cfg|sh|js|ts)"
    r"|(?:your|my|some|the|example|sample|dummy|fake|test)[_-][A-Za-z_-]*"
    r"|(.)\1*|[xX*.•-]+"
)
_TRIVIAL = (
    "pass passw passwd password secret token key pw pwd changeme default example none null true false "
    "required optional redacted hidden masked user admin undefined disabled enabled"
)
_SYMBOLS = r"[!@#$%^*~?+=&]."


def _mixed(value: str) -> bool:
    """Letters of both cases, and digits: what chance makes of 40 characters, and names seldom are."""
    return bool(re.search("[a-z]", value) and re.search("[A-Z]", value) and re.search("[0-9]", value))


def _has_digit(value: str) -> bool:
    return bool(re.search("[0-9]", value))


def _has_body(value: str) -> bool:
    return bool(re.search(r"[A-Za-z0-9+/=]{20}", value))


def password(value: str) -> bool:
    """What stands where a password does: not the word for it, nor what a template fills in."""
    return value.lower() not in _TRIVIAL.split() and not re.fullmatch(r"[$%*<{\[].*|[xX.*•]+", value)


def chosen(value: str) -> bool:
    """Whether a value looks made up, not like a word, a name in a program, a path or a number."""
    if re.fullmatch(_HARMLESS, value, re.DOTALL):
        return False
    letters = [char for char in value if char.isalpha()]
    if not letters:
        return False
    upper = sum(map(str.isupper, letters)) / len(letters)
    # Where there is no digit and no symbol, chance has as many capitals as not; CamelCase has few.
    return _has_digit(value) or bool(re.search(_SYMBOLS, value)) or 0.3 <= upper <= 0.7


# -- the table ------------------------------------------------------------------------------------

# Not within a longer word; a line end that stands there as \n does not belong to one.
_L = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
_LW = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))"
_R = r"(?![A-Za-z0-9])"
_W = r"[A-Za-z0-9_-]"
# Of keys only those that open something: a primary key or a cache key is no secret.
_KEYS = (
    "api access account admin app auth client deploy encryption license master private secret service "
    "session shared signing storage subscription webhook"
)
COMMANDS = ("curl", "mysql", "sshpass", "login")
# One of these is in each name that the next pattern finds.
_NAMING = ("passw", "passphrase", "pwd", "secret", "token", "credential", "key")
KEYWORD = (
    r"(?:passw(?:or)?d|passphrase|passwd|pwd|secret|token|credentials?|key(?:"
    + "|".join(rf"(?<={word}key)|(?<={word}[_. -]key)" for word in _KEYS.split())
    + r"))(?:[_-](?:base|prod|dev|live|test|staging))?\d{0,3}"
)
_VALUE = (
    r"(?:\\*[\"'`]([^\s\"'`\\]{8,400})"
    r"|((?>[^\s\"'`<>(){}\[\],;&|\\]{7,400}[^\s\"'`<>(){}\[\],;&|\\.:]))(?![\[(]))"
)

RULES: tuple[Rule, ...] = (
    # First: what stands within its lines must not be taken for something else.
    Rule(
        "private-key",
        "PEM, OpenSSH and PGP private keys",
        ("-----begin",),
        r"-----begin (?:[a-z0-9]{1,20} ){0,4}private key(?: block)?-----"
        r"(?:[^-]*+(?:-(?!----(?:begin|end))[^-]*+)*+-----end [a-z0-9 ]{0,60}-----"
        r"|(?:\\+[nr]|\s)*+(?:[a-z0-9+/=]{20,}+(?:\\+[nr]|\s)*+)*+[a-z0-9+/=]*+)",
        fold=True,
        told=_has_body,
    ),
    Rule("age-key", "age identities", ("AGE-SECRET-KEY-",), r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{50,}"),
    Rule(
        "aws-access-key",
        "AWS access key ids",
        ("AKIA", "ASIA", "ABIA", "ACCA"),
        rf"{_L}(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{{16}}{_R}",
    ),
    Rule(
        "aws-secret-key",
        "AWS secret access keys, in a text that speaks of AWS",
        ("aws", "akia"),
        r"(?:(?<![a-z0-9/+=])|(?<=[a-z]=)|(?<=\\[nrt]))[a-z0-9/+]{40}(?![a-z0-9/+=])",
        fold=True,
        told=_mixed,
    ),
    Rule(
        "aws-bedrock-key",
        "Amazon Bedrock API keys",
        ("ABSK",),
        rf"{_L}ABSK[A-Za-z0-9+/]{{80,}}={{0,2}}",
    ),
    Rule(
        "github-token",
        "GitHub tokens (`ghp_`, `gho_`, `ghu_`, `ghs_`, `ghr_`)",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
        r"gh[oprsu]_[A-Za-z0-9]{36,255}",
    ),
    Rule(
        "github-pat",
        "GitHub fine-grained tokens",
        ("github_pat_",),
        r"github_pat_[A-Za-z0-9_]{22,255}",
    ),
    Rule(
        "gitlab-token",
        "GitLab tokens (`glpat-` and its kin)",
        ("glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "gloas-"),
        rf"gl(?:pat|dt|rt|cbt|ptt|ft|oas)-{_W}{{20,}}(?:\.[0-9a-z]{{2}}\.[0-9a-z]{{7,9}})?",
    ),
    Rule(
        "slack-token",
        "Slack tokens (`xoxb-`, `xoxp-`, `xapp-` ...)",
        ("xox", "xapp-"),
        r"xox[abceoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|xapp-\d-[A-Za-z0-9-]{20,}",
    ),
    Rule(
        "slack-webhook",
        "Slack webhooks",
        ("hooks.slack.com/",),
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/_-]{20,})",
    ),
    Rule(
        "stripe-key",
        "Stripe secret and restricted keys",
        ("k_live_", "k_test_"),
        rf"{_L}[sr]k_(?:live|test)_[A-Za-z0-9]{{16,}}",
    ),
    Rule(
        "stripe-webhook",
        "Stripe and Svix webhook secrets",
        ("whsec_",),
        r"whsec_[A-Za-z0-9+/]{24,}={0,2}",
    ),
    Rule("anthropic-key", "Anthropic keys", ("sk-ant-",), rf"sk-ant-{_W}{{20,}}"),
    Rule("openrouter-key", "OpenRouter keys", ("sk-or-",), r"sk-or-(?:v\d-)?[0-9a-f]{40,}"),
    Rule(
        "openai-key",
        "OpenAI keys, and those of others that look the same",
        ("sk-",),
        rf"{_LW}sk-(?:(?:proj|svcacct|admin|None|lf)-{_W}{{20,}}|[A-Za-z0-9]{{20,}})",
        told=_has_digit,
    ),
    Rule("google-key", "Google API keys", ("AIza",), rf"AIza{_W}{{35,40}}"),
    Rule(
        "google-oauth",
        "Google OAuth tokens and client secrets",
        ("ya29.", "GOCSPX-", "1//0"),
        rf"ya29\.{_W}{{20,}}|GOCSPX-{_W}{{20,}}|{_LW}1//0{_W}{{30,}}",
    ),
    Rule("hugging-face-token", "Hugging Face tokens", ("hf_",), rf"{_L}hf_[A-Za-z0-9]{{30,}}"),
    Rule("npm-token", "npm tokens", ("npm_",), r"npm_[A-Za-z0-9]{36,}"),
    Rule("pypi-token", "PyPI tokens", ("pypi-",), rf"pypi-{_W}{{60,}}"),
    Rule("rubygems-key", "RubyGems keys", ("rubygems_",), r"rubygems_[0-9a-f]{40,}"),
    Rule("docker-token", "Docker Hub tokens", ("dckr_",), rf"dckr_(?:pat|oat)_{_W}{{20,}}"),
    Rule("sendgrid-key", "SendGrid keys", ("SG.",), rf"{_L}SG\.{_W}{{16,32}}\.{_W}{{32,64}}"),
    Rule("twilio-key", "Twilio API keys", ("SK",), rf"{_L}SK[0-9a-f]{{32}}{_R}"),
    Rule("mailgun-key", "Mailgun keys", ("key-",), rf"{_LW}key-[0-9a-f]{{32}}{_R}"),
    Rule("mailchimp-key", "Mailchimp keys", ("-us",), rf"{_L}[0-9a-f]{{32}}-us\d{{1,2}}{_R}"),
    Rule("brevo-key", "Brevo keys", ("xkeysib-",), r"xkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16}"),
    Rule("telegram-token", "Telegram bot tokens", (":AA",), rf"(?<!\d)\d{{8,10}}:AA{_W}{{32,34}}"),
    Rule(
        "discord-token",
        "Discord bot tokens",
        (".",),  # there is nothing else that all have
        rf"[MNO](?:(?<![A-Za-z0-9_-].)|(?<=\\[nrt].)){_W}{{23,27}}\.{_W}{{6}}\.{_W}{{27,40}}",
        told=_has_digit,
        shortest=59,
    ),
    Rule(
        "discord-webhook",
        "Discord webhooks",
        ("/api/webhooks/",),
        rf"/api/webhooks/\d{{17,20}}/({_W}{{60,}})",
    ),
    Rule("shopify-token", "Shopify tokens", ("shp",), r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    Rule(
        "square-token",
        "Square tokens",
        ("sq0", "EAAA"),
        rf"{_L}sq0[a-z]{{3}}-{_W}{{22,50}}|{_LW}EAAA{_W}{{56,}}",
    ),
    Rule(
        "azure-storage-key",
        "Azure storage and service bus keys",
        ("AccountKey=", "AccessKey="),
        r"(?:Account|Access)Key=([A-Za-z0-9+/]{40,}={0,2})",
    ),
    Rule(
        "azure-sas", "Azure shared access signatures", ("sig=",), r"[?&;]sig=([A-Za-z0-9%+/=_-]{30,})"
    ),
    Rule(
        "azure-client-secret",
        "Microsoft Entra client secrets",
        ("Q~",),
        r"(?:(?<![A-Za-z0-9_~.-])|(?<=\\[nrt]))[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34}",
    ),
    Rule(
        "signed-address",
        "signatures and session tokens in signed addresses of S3 and Google Cloud Storage",
        ("X-Amz-", "X-Goog-Signature="),
        r"X-(?:Amz-(?:Signature|Security-Token)|Goog-Signature)=([A-Za-z0-9%+/=_-]{30,})",
    ),
    Rule("digitalocean-token", "DigitalOcean tokens", ("_v1_",), r"do[opr]_v1_[0-9a-f]{64}"),
    Rule("heroku-key", "Heroku keys", ("HRKU-",), rf"HRKU-{_W}{{30,}}"),
    Rule(
        "fly-token",
        "Fly.io tokens",
        ("fo1_", "fm2_"),
        r"fo1_[A-Za-z0-9_-]{40,}|fm2_[A-Za-z0-9+/=,_-]{60,}",
    ),
    Rule(
        "supabase-token",
        "Supabase tokens",
        ("sbp_", "sb_secret_"),
        rf"sbp_[0-9a-f]{{40}}|sb_secret_{_W}{{20,}}",
    ),
    Rule(
        "planetscale-token",
        "PlanetScale tokens and passwords",
        ("pscale_",),
        r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,}",
    ),
    Rule("pinecone-key", "Pinecone keys", ("pcsk_",), r"pcsk_[A-Za-z0-9_]{40,}"),
    Rule("linear-key", "Linear keys", ("lin_",), r"lin_(?:api|oauth)_[A-Za-z0-9]{32,}"),
    Rule(
        "notion-token",
        "Notion tokens",
        ("ntn_", "secret_"),
        rf"{_L}(?:ntn_[A-Za-z0-9]{{40,}}|secret_[A-Za-z0-9]{{43}}){_R}",
    ),
    Rule("airtable-token", "Airtable tokens", ("pat",), rf"{_L}pat[A-Za-z0-9]{{14}}\.[0-9a-f]{{64}}"),
    Rule("figma-token", "Figma tokens", ("figd_",), rf"figd_{_W}{{40,}}"),
    Rule(
        "atlassian-token",
        "Atlassian and Bitbucket tokens",
        ("ATATT3", "ATCTT3", "ATBB"),
        rf"AT[AC]TT3[A-Za-z0-9_=-]{{50,}}|{_L}ATBB[A-Za-z0-9]{{28,}}",
    ),
    Rule("postman-key", "Postman keys", ("PMAK-",), r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    Rule("databricks-token", "Databricks tokens", ("dapi",), rf"{_L}dapi[0-9a-f]{{32}}(?:-\d)?"),
    Rule(
        "grafana-token",
        "Grafana tokens",
        ("glsa_", "glc_"),
        r"glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}|glc_[A-Za-z0-9+/]{32,}={0,2}",
    ),
    Rule("sentry-token", "Sentry tokens", ("sntry",), r"sntry[su]_[A-Za-z0-9_+/=-]{40,}"),
    Rule("new-relic-key", "New Relic keys", ("NRAK-",), r"NRAK-[A-Z0-9]{27}"),
    Rule("dynatrace-token", "Dynatrace tokens", ("dt0",), r"dt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    Rule("tailscale-key", "Tailscale keys", ("tskey-",), r"tskey-[a-z]+-[A-Za-z0-9]+-[A-Za-z0-9]{16,}"),
    Rule(
        "circleci-token", "CircleCI tokens", ("CCIP",), r"CCIP(?:AT|RJ)_[A-Za-z0-9]{16,}_[0-9a-f]{40}"
    ),
    Rule(
        "doppler-token",
        "Doppler tokens",
        ("dp.",),
        rf"{_L}dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{{2,35}}\.)?[A-Za-z0-9]{{40,44}}",
    ),
    Rule(
        "vault-token", "HashiCorp Vault tokens", ("hvs.", "hvb.", "hvr."), rf"{_L}hv[sbr]\.{_W}{{20,}}"
    ),
    Rule(
        "terraform-token",
        "Terraform Cloud tokens",
        (".atlasv1.",),
        rf"{_L}[A-Za-z0-9]{{14}}\.atlasv1\.[A-Za-z0-9_=-]{{60,}}",
    ),
    Rule("pulumi-token", "Pulumi tokens", ("pul-",), rf"{_L}pul-[0-9a-f]{{40}}"),
    Rule(
        "1password-token",
        "1Password service account tokens",
        ("ops_eyJ",),
        r"ops_eyJ[A-Za-z0-9+/=_-]{100,}",
    ),
    Rule("langsmith-key", "LangSmith keys", ("lsv2_",), r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),
    Rule("groq-key", "Groq keys", ("gsk_",), rf"{_L}gsk_[A-Za-z0-9]{{40,}}"),
    Rule("perplexity-key", "Perplexity keys", ("pplx-",), r"pplx-[A-Za-z0-9]{40,}"),
    Rule("replicate-token", "Replicate tokens", ("r8_",), rf"{_L}r8_[A-Za-z0-9]{{37,}}"),
    Rule("xai-key", "xAI keys", ("xai-",), rf"{_L}xai-[A-Za-z0-9]{{60,}}"),
    Rule(
        "whatworks-token",
        "tokens of whatworks, as `whatworks token add` makes them",
        ("ww_",),
        rf"{_LW}ww_{_W}{{43}}(?!{_W})",
    ),
    Rule(
        "jwt",
        "JSON web tokens",
        ("eyJ",),
        rf"{_LW}eyJ{_W}{{8,}}+\.{_W}{{8,}}+(?:\.{_W}+)*+",
    ),
    # What follows goes by where it stands, not by what it looks like.
    Rule(
        "url-password",
        "passwords in addresses, `scheme://user:password@host`",
        ("://",),
        r"://[^\s/:@\"'<>]{0,100}:([^\s/@\"'<>]{1,300})@",
        fold=True,
        told=password,
    ),
    Rule(
        "authorization",
        "`Authorization` headers, and `Bearer` tokens anywhere",
        ("bearer", "authorization"),
        r"\bbearer[ \t:]{1,4}[\"']?([a-z0-9._~+/=-]{16,})"
        r"|authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?"
        r"(?:(?:basic|token|apikey|digest)\s{1,4})?([a-z0-9._~+/=-]{8,})",
        fold=True,
        told=chosen,
    ),
    Rule(
        "cookie",
        "`Cookie` and `Set-Cookie` headers",
        ("cookie:",),
        r"cookie:[ \t]*([^\s=;\"']{1,80}=[^\r\n\"']{8,4000})",
        fold=True,
    ),
    Rule(
        "command-password",
        "passwords among the arguments of curl, MySQL, sshpass and docker login",
        (" -",),
        r"curl\s[^\n]{0,300}?(?<=\s)(?:-u|--user)[ =]?[\"']?[^\s:\"']{1,80}:([^\s\"']{4,200})"
        r"|mysql\w{0,10}\s[^\n]{0,300}?(?<=\s)-p([^\s\"']{6,200})"
        r"|sshpass\s{1,4}-p\s{0,4}[\"']?([^\s\"']{4,200})"
        r"|\slogin\s[^\n]{0,300}?(?<=\s)(?:-p|--password)[ =][\"']?([^\s\"']{4,200})",
        fold=True,
        told=password,
        beside=COMMANDS,
    ),
    Rule(
        "argument",
        "arguments of secret-looking names, `--api-key value`",
        (" -",),
        rf"(?<=\s)--(?:[a-z0-9]{{1,20}}[-_]){{0,3}}?{KEYWORD}[ \t]{{1,4}}{_VALUE}",
        fold=True,
        told=chosen,
        beside=_NAMING,
    ),
    Rule(
        "named-value",
        "values of secret-looking names: `NAME=value`, `name: value`, JSON, and those of environment "
        "variables",
        _NAMING,
        rf"{KEYWORD}(?:>|\\*[\"'`]?\]?\s{{0,4}}(?::=|=>|==?|:)\s{{0,4}}){_VALUE}",
        fold=True,
        told=chosen,
    ),
)

# What is looked for in a text, the place of the rule that it may be for, and what has to be beside it.
Looked = tuple[str, int, tuple[str, ...]]
EXACT, FOLDED = (
    tuple(
        (text, place, rule.beside)
        for place, rule in enumerate(RULES)
        if rule.fold is fold
        for text in rule.literals
    )
    for fold in (False, True)
)
