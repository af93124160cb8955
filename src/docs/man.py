#!/usr/bin/env python3
"""man.py XML-FOLDER MAN-FOLDER VERSION CHANGELOG: makes the manual pages of what Doxygen found in the headers.

Section 3 gets a page for each group of a header, and a link to it for each function; section 7 gets a page for each
library: what it is, and its concepts. A function whose comment does not say whether it waits, who owns what, and which
threads may call it is an error.
"""
import email.utils
import itertools
import os
import re
import sys
import textwrap
import typing
import xml.etree.ElementTree as ET

STATED = {"Waits": "waits", "Ownership": "ownership", "Threads": "threads"}
ELSEWHERE = {"libpush": ["errno(3)", "poll(2)", "epoll(7)", "pthreads(7)"],
             "libpush-nats": ["libpush(7)"],
             "push_nats": ["push_client(3)", "push_session(3)"],
             "push_poller": ["epoll(7)"]}


class Library(typing.NamedTuple):
    name: str      # as pkg-config knows it
    brief: str
    overview: str  # Doxygen's name for the page that says what it is
    concepts: str  # ... and for the one whose sections are the concepts

    def page(self):
        return "lib" + self.name


# By their headers.
LIBRARIES = {
    "push/push.h": Library("push", "push one message to all devices of a user, pull it on each of them",
                           "indexpage", "push_concepts"),
    "push/nats.h": Library("push-nats", "sessions of libpush that many processes share, over NATS",
                           "push_nats_concepts", "push_nats_concepts"),
}


# ---- Text: from XML to roff ----

def escape(text):
    return text.replace("\\", "\\e").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha")


def plain(text):
    """Prose. Constants and calls stand out without mark-up in the header."""
    text = re.sub(r"\s+", " ", escape(text))
    text = re.sub(r"(?<![\w.])-(?=[A-Z0-9])", r"\\-", text)
    text = re.sub(r"(\\-)?\b(PUSH_[A-Z_]*[A-Z]|E[A-Z]{3,}|NULL)\b", r"\\fB\g<0>\\fP", text)
    text = re.sub(r"\b(push_\w+)\(\)", r"\\fB\1\\fP()", text)
    return re.sub(r"\b([a-z_-]+)\(([1-8])\)", lambda m: "%s(%s)" % (bold(m[1]), m[2]), text)


def literal(text):
    return escape(text).replace("-", "\\-")


def bold(text):
    return "\\fB" + literal(text) + "\\fP"


def inline(element):
    """The text of a paragraph, marked up."""
    parts = [plain(element.text or "")]
    for child in element:
        concepts = child.tag == "ref" and [v for v in LIBRARIES.values() if child.get("refid").startswith(v.concepts)]
        if concepts:
            parts.append("\\(lq%s\\(rq in %s(7)" % (child.text, bold(concepts[0].page())))
        elif child.tag in ("bold", "emphasis"):
            parts.append("\\fI%s\\fP" % literal("".join(child.itertext())))
        elif child.tag == "computeroutput":
            parts.append(bold("".join(child.itertext())))
        elif child.tag == "ref":
            parts.append(plain("".join(child.itertext())))
        elif child.tag not in BLOCKS:
            sys.exit("man.py: does not know <%s>" % child.tag)
        parts.append(plain(child.tail or ""))
    return "".join(parts).strip()


def brief(element):
    """Doxygen lets enumerators pass without one."""
    para = element.find("briefdescription/para")
    if para is None:
        sys.exit("man.py: %s is not documented" % (element.findtext("name") or element.findtext("compoundname")))
    return inline(para)


def documented(element):
    """All that is said of a type or a field, in one paragraph."""
    return fill(" ".join([brief(element)] + [inline(p) for p in element.findall("detaileddescription/para")]))


def fill(text):
    """One sentence begins one line, as roff likes it, and no line is long or looks like a request."""
    lines = []
    for sentence in re.split(r"(?<=[\w)P]\.) (?=[A-Z\\])", text):
        lines += textwrap.wrap(sentence, 78, break_long_words=False, break_on_hyphens=False)
    return "\n".join("\\&" + line if line[:1] in ".'" else line for line in lines)


def example(text):
    return ".PP\n.in +4n\n.EX\n" + literal(text.strip("\n")) + "\n.EE\n.in"


def items(itemizedlist):
    """A list; where each item begins with a literal and a colon, a list of definitions."""
    out = []
    for para in itemizedlist.findall("listitem/para"):
        tag, colon, text = inline(para).partition(": ")
        if colon and len(tag) < 64 and "." not in tag:
            out.append(".TP\n%s\n%s" % (tag, fill(text)))
        else:
            out.append(".IP \\(bu 3\n" + fill(inline(para)))
    return "\n".join(out) + "\n.PP"


BLOCKS = {"verbatim": lambda e: example(e.text), "itemizedlist": items,
          "parameterlist": None, "simplesect": None}


def paragraphs(element, skip=()):
    """What a description says, but for what is said in sections of its own."""
    out = []
    for para in element.findall("para"):
        text = fill(inline(para))
        if text:
            out.append(".PP\n" + text)
        out += [BLOCKS[c.tag](c) for c in para if c.tag not in skip and BLOCKS.get(c.tag)]
    return out


# ---- What there is ----

def table(detail, kind):
    """[(name, text)] of what @param or @retval says."""
    return [(i.findtext("parameternamelist/parametername"), fill(inline(i.find("parameterdescription/para"))))
            for i in detail.findall(".//parameterlist[@kind='%s']/parameteritem" % kind)]


def header(member):
    return member.find("location").get("file")


class Function:
    def __init__(self, member):
        detail = member.find("detaileddescription")
        self.name = member.findtext("name")
        self.type = " ".join("".join(member.find("type").itertext()).split())
        self.args = spaced(member.findtext("argsstring")[1:-1])
        self.arg_names = [p.findtext("declname") for p in member.findall("param") if p.findtext("declname")]
        self.text = fill(brief(member))
        self.more = paragraphs(detail)
        self.params = table(detail, "param")
        self.errors = table(detail, "retval")
        returns = detail.find(".//simplesect[@kind='return']/para")
        self.returns = None if returns is None else inline(returns)
        for title, name in STATED.items():
            said = [inline(s.find("para")) for s in detail.iter("simplesect") if s.findtext("title") == title]
            if len(said) != 1 or not said[0]:
                sys.exit("man.py: %s does not say once of %s(): %s" % (header(member), self.name, name))
            setattr(self, name, said[0])

    def prototype(self):
        """Lines of at most 76 characters, arguments in italics."""
        args = split_args(self.args or "void")
        lines, line = [], declaration(self.type, self.name) + "("
        for i, arg in enumerate(args):
            word = arg + (", " if i + 1 < len(args) else ");")
            if len(line) + len(word.rstrip()) > 76 and not line.endswith("("):
                lines.append(line.rstrip())
                line = "    "
            line += word
        lines.append(line)
        return "\n".join(self.mark_up(line) for line in lines)

    def mark_up(self, line):
        line = literal(line)
        if self.arg_names:
            line = re.sub(r"([ *])(%s)(?=[,)])" % "|".join(self.arg_names), r"\1\\fI\2\\fB", line)
        return "\\fB" + line + "\\fP"


def declaration(kind, name):
    return re.sub(r"\* ", "*", kind) + ("" if kind.endswith("*") else " ") + name


def spaced(text):
    """As the header writes pointers to functions."""
    return re.sub(r"(\*?) ?\(\*", lambda m: (m[1] or " ") + "(*", text)


def field(member):
    """Of an array or a pointer to a function, a part comes behind the name."""
    name = member.findtext("name") + member.findtext("argsstring")
    kind = "".join(member.find("type").itertext())
    return spaced(kind + name) if "(" in kind else declaration(kind, name)


def split_args(text):
    """At the commas outside of parentheses."""
    depth, args, arg = 0, [], ""
    for c in text:
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            args.append(arg.strip())
            arg = ""
        else:
            arg += c
    return args + [arg.strip()]


class Page:
    """A group of the header."""

    def __init__(self, xml_dir, refid):
        group = ET.parse(os.path.join(xml_dir, refid + ".xml")).find("compounddef")
        self.name = group.findtext("compoundname")
        self.brief = brief(group).rstrip(".")
        self.text = paragraphs(group.find("detaileddescription"))
        members = [m for m in group.iter("memberdef")]
        self.functions = [Function(m) for m in members if m.get("kind") == "function"]
        self.header = header(members[0])
        self.library = LIBRARIES[self.header]
        self.macros = [m for m in members if m.get("kind") == "define"]
        self.enums = [m for m in members if m.get("kind") == "enum"]
        self.handles = [m for m in members if m.get("kind") == "typedef"]
        self.structs = [ET.parse(os.path.join(xml_dir, c.get("refid") + ".xml")).find("compounddef")
                        for c in group.findall("innerclass")]

    def names(self):
        return [f.name for f in self.functions] + [m.findtext("name") for m in self.macros
                                                   if m.find("param") is not None]

    def links(self):
        types = [s.findtext("compoundname") for s in self.structs] + [e.findtext("name") for e in self.enums]
        return [n for n in self.names() + types if n != self.name]

    def synopsis(self):
        out = [".SH SYNOPSIS", ".nf", ".B #include <%s>" % self.header]
        for f in self.functions:
            out += [".PP", f.prototype()]
        for m in self.macros:
            params = ", ".join(p.findtext("defname") for p in m.findall("param"))
            value = "".join(m.find("initializer").itertext())
            rest = "(\\fI%s\\fP)" % params if params else "" if "(" in value else " " + literal(value)
            out += [".PP", "\\fB#define %s\\fP%s" % (m.findtext("name"), rest)]
        return out + [".fi"]

    def description(self):
        out = [".SH DESCRIPTION", fill(self.brief + ".")] + self.text
        for f in self.functions:
            out += [".SS %s()" % f.name, f.text] + f.more
            for name, text in f.params:
                out += [".TP", ".I " + literal(name), text]
        for m in self.macros:
            out += [".SS " + m.findtext("name"), fill(brief(m))]
        return out

    def types(self):
        out = []
        for t in self.handles:
            out += [".TP", ".B " + t.findtext("name"), documented(t)]
        for s in self.structs:
            out += [".TP", ".B " + s.findtext("compoundname"), documented(s), ".RS"]
            for m in s.iter("memberdef"):
                out += [".TP", bold(field(m)), documented(m)]
            out.append(".RE")
        for e in self.enums:
            out += [".TP", ".B " + e.findtext("name"), documented(e), ".RS"]
            for v in e.findall("enumvalue"):
                out += [".TP", ".B " + v.findtext("name"), documented(v)]
            out.append(".RE")
        return [".SH TYPES"] + out if out else []

    def by_text(self, key):
        """[(functions, what they share)], in the order of the header."""
        shared = {}
        for f in self.functions:
            if key(f):
                shared.setdefault(str(key(f)), []).append(f)
        return [(fs, key(fs[0])) for fs in shared.values()]

    def stated(self, heading, key, every="%s"):
        """A section that says of each function what it shares with others."""
        groups = self.by_text(key)
        if len(groups) == 1 and len(groups[0][0]) == len(self.functions):
            return [".SH " + heading, fill(every % groups[0][1])]
        return [".SH " + heading] + list(itertools.chain(*(
            [".TP", tag(functions), fill(text)] for functions, text in groups)))

    def errors(self):
        groups = self.by_text(lambda f: f.errors)
        if not groups:
            return []
        out = [".SH ERRORS", fill("A function that returns a pointer sets \\fIerrno\\fP to the error; one that returns "
                                  "an integer returns the error, negated.")]
        for functions, errors in groups:
            out += [".TP", tag(functions), ".RS"]
            for name, text in errors:
                out += [".TP", ".B " + literal(name), text]
            out.append(".RE")
        return out

    def roff(self, others):
        names = self.names()
        out = [".SH NAME", ",\n".join(names) + " \\- " + lower(self.brief)]
        library = (literal(self.library.page()), literal(self.library.name))
        out += [".SH LIBRARY", "%s (\\fI\\-l%s\\fP)" % library]
        out += self.synopsis() + self.description() + self.types()
        out += self.stated("RETURN VALUE", lambda f: f.returns) + self.errors()
        out += self.stated("WAITING", lambda f: f.waits, "They wait: %s.")
        out += self.stated("OWNERSHIP", lambda f: f.ownership)
        out += self.stated("THREADS", lambda f: f.threads, "They may be called by %s thread at any time.")
        return out + see_also([self.library.page() + "(7)"] + [o + "(3)" for o in others if o != self.name] +
                              ELSEWHERE.get(self.name, []))


def tag(functions):
    return ", ".join("\\fB%s\\fP()" % f.name for f in functions)


def lower(text):
    return text[:1].lower() + text[1:]


def see_also(pages):
    pages = sorted(pages, key=lambda p: (p[-2], p))
    return [".SH SEE ALSO"] + [".BR %s (%s)%s" % (p[:-3], p[-2], "," if p != pages[-1] else "") for p in pages]


def description_of(xml_dir, page):
    return ET.parse(os.path.join(xml_dir, page + ".xml")).find("compounddef/detaileddescription")


def overview(xml_dir, include, pages):
    library = LIBRARIES[include]
    main, concepts = (description_of(xml_dir, page) for page in (library.overview, library.concepts))
    out = [".SH NAME", literal(library.page()) + " \\- " + library.brief,
           ".SH SYNOPSIS", ".nf", ".B #include <%s>" % include, ".PP",
           "cc \\fIprogram.c\\fP $(pkg\\-config \\-\\-cflags \\-\\-libs %s)" % literal(library.name), ".fi",
           ".SH DESCRIPTION"]
    out += paragraphs(main, skip=("verbatim",))
    for section in concepts.findall("sect1"):
        out += [".SS " + section.findtext("title")] + paragraphs(section)
    out.append(".SH FUNCTIONS")
    for page in pages:
        out += [".TP", ".BR %s (3)" % page.name, fill(page.brief + "."), ".br", fill(", ".join(page.names()) + ".")]
    out += [".SH EXAMPLES"] + [example(v.text).replace(".PP\n", "", 1) for v in main.iter("verbatim")]
    return out + see_also([p.name + "(3)" for p in pages] + ELSEWHERE[library.page()])


def write(man_dir, name, section, head, lines):
    """Empty paragraphs, before a heading or a list and after a heading, are left out."""
    text = "\n".join(line for line in lines if line)
    text = re.sub(r"(\.S[HS] [^\n]*\n(?:\.nf\n)?)\.PP\n", r"\1", text)
    text = re.sub(r"\.PP\n(?=\.(PP|TP|IP|SH|SS)\b)", "", text + "\n")
    path = os.path.join(man_dir, "man" + section, name + "." + section)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(head + text.removesuffix(".PP\n"))


def released(changelog):
    with open(changelog, encoding="utf-8") as file:
        when = re.search(r"^ -- .*>  (.*)$", file.read(), re.M)[1]
    return email.utils.parsedate_to_datetime(when).date().isoformat()


def main():
    xml_dir, man_dir, version, changelog = sys.argv[1:]
    date = released(changelog)
    index = ET.parse(os.path.join(xml_dir, "index.xml"))
    pages = [Page(xml_dir, c.get("refid")) for c in index.findall("compound") if c.get("kind") == "group"]
    for include, library in LIBRARIES.items():
        own = [p for p in pages if p.header == include]
        if not own:
            continue  # Doxygen was not given it
        comment = ".\\\" Made by man.py of the comments in %s.\n" % os.path.basename(include)
        name = library.page()
        head = comment + ".TH %s %s " + date + " \"%s %s\" \"%s\"\n.nh\n.ad l\n" % (name, version, name)
        for page in own:
            write(man_dir, page.name, "3", head % (page.name, 3), page.roff([p.name for p in own]))
            for link in page.links():
                write(man_dir, link, "3", "", [".so man3/%s.3" % page.name])
        write(man_dir, name, "7", head % (name, 7), overview(xml_dir, include, own))


main()
