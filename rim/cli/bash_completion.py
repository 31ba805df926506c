"""Completion in bash, which cuts words at `=` and `:` as well, and takes answers as they are.

click's own script goes by bash's words: `--set matching.matcher=kn` and `--source folder:ph` are
cut in the middle there, and a name with a space in it would become two.
"""

from __future__ import annotations

import os
import re
import shlex

from click.shell_completion import BashComplete, CompletionItem, add_completion_class

_SCRIPT = """\
%(complete_func)s() {
    local IFS=$'\\n' response completion type value
    response=$(env RIM_LINE="${COMP_LINE:0:COMP_POINT}" RIM_WORD="${COMP_WORDS[COMP_CWORD]}" \\
        %(complete_var)s=bash_complete "$1")
    COMPREPLY=()
    for completion in $response; do
        type="${completion%%%%,*}"
        value="${completion#*,}"
        if [[ $type == dir ]]; then
            compopt -o dirnames
        elif [[ $type == file ]]; then
            compopt -o default
        else
            COMPREPLY+=("$value")
            [[ $value == *[=:/,] ]] && compopt -o nospace
        fi
    done
    return 0
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
_SPECIAL = re.compile(r"([\s'\"\\$`!&|;<>()*?\[\]#~{}])")
_ESCAPED = r"\\\1"


class Bash(BashComplete):
    """Goes by the line up to the cursor, and answers what bash is to put in place of its word."""

    source_template = _SCRIPT

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one at the cursor, and that one."""
        line = os.environ.get("RIM_LINE", "")
        words = _words(line)[1:]
        if not words or line.endswith((" ", "\t")):
            return words, ""
        return words[:-1], words[-1]

    def format_completion(self, item: CompletionItem[str]) -> str:
        """What follows the last `=` or `:` where bash has cut the word there."""
        _, begun = self.get_completion_args()
        word = os.environ.get("RIM_WORD", "")
        word = "" if word in ("=", ":") else word
        value = item.value
        cut = len(begun) - len(word)
        if cut > 0 and begun[cut - 1] in "=:" and begun.endswith(word):
            value = value[cut:]
        quoted = word.startswith(("'", '"'))
        return f"{item.type},{value if quoted else _SPECIAL.sub(_ESCAPED, value)}"


def _words(line: str) -> list[str]:
    """The words of an unfinished line; the last may lack its closing quote."""
    reader = shlex.shlex(line, posix=True)
    reader.whitespace_split, reader.commenters = True, ""
    words: list[str] = []
    try:
        words.extend(reader)
    except ValueError:
        words.append(reader.token)
    return words


add_completion_class(Bash)
