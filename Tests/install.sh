#!/usr/bin/env bash
# `make install` into a folder of its own: the program runs from there, every command has a man page without faults, and
# the completions load in bash and, where they are installed, in zsh and fish.
set -eu
cd "$(dirname "$0")/.."
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
make install PREFIX="$prefix" BUILD=.build-install > "$prefix/log" 2>&1 || { cat "$prefix/log"; exit 1; }
pannier=$prefix/bin/pannier
fail() { echo "FAILED: $*" >&2; exit 1; }
ok() { echo "  ok  $*"; }

cd "$prefix"
"$pannier" --version | grep -q '^pannier [0-9]' || fail "the installed program does not run"
ok "the installed program runs"

pages=$prefix/share/man/man1
for command in $("$pannier" --help | awk '/^SUBCOMMANDS/ { on = 1; next } on && /^  [a-z]/ { print $1 }'); do
  [ -s "$pages/pannier-$command.1" ] || fail "there is no man page for $command"
  grep -q '^.Sh EXAMPLES' "$pages/pannier-$command.1" || fail "the man page for $command has no example"
done
ok "$(ls "$pages" | wc -l) man pages, one for every command"
if command -v groff > /dev/null; then
  faults=$(for page in "$pages"/*.1; do groff -mandoc -Tutf8 -ww -z "$page" 2>&1; done)
  [ -z "$faults" ] || fail "groff says: $faults"
  ok "groff finds no fault in them"
fi

bash -c '
  source "$1"
  COMP_WORDS=(pannier con) COMP_CWORD=1 COMP_LINE="pannier con" COMP_POINT=11
  _pannier pannier con pannier
  [[ " ${COMPREPLY[*]} " == *" convert "* ]]' - "$prefix/share/bash-completion/completions/pannier" ||
  fail "completion in bash"
ok "completion in bash"
if command -v zsh > /dev/null; then
  zsh -fc 'fpath=($1 $fpath); autoload -U compinit; compinit -u -d $2; [[ $_comps[pannier] == _pannier ]] &&
    autoload +X _pannier' - "$prefix/share/zsh/site-functions" "$prefix/zcompdump" || fail "completion in zsh"
  ok "completion in zsh"
fi
if command -v fish > /dev/null; then
  HOME=$prefix fish -c "source $prefix/share/fish/vendor_completions.d/pannier.fish; complete -C 'pannier con'" |
    grep -q '^convert' || fail "completion in fish"
  ok "completion in fish"
fi
