#!/usr/bin/env bash
# Makes the man pages from what the program says of itself: one for it and one for each command.
#
#   Docs/man/make.sh PROGRAM FOLDER
#
# swift-argument-parser's generate-manual does most of it. Its plugin would build every product again and link the program
# anew; so only the tool is built (which asking for its help does) and called here. The awk program below gives each page
# what the tool does not know: the exit statuses, EXAMPLES as a section, and names as git has them (pannier-convert.1, so
# that `man pannier convert` finds it).
set -eu
cd "$(dirname "$0")/../.."
program=$1
folder=$2
swift package generate-manual --help > /dev/null
date=$(git log -1 --format=%cs 2> /dev/null || date +%F)
raw=$(mktemp -d)
trap 'rm -rf "$raw"' EXIT
.build/debug/generate-manual-tool "$program" --multi-page --date "$date" --output-directory "$raw"
rm -f "$raw"/*.help.1
mkdir -p "$folder"
for page in "$raw"/*.1; do
  name=$(basename "$page" .1)
  awk '
    # pannier.archive.add becomes pannier-archive-add where it names a page.
    /^\.(Dt|Xr) / { gsub(/\./, "-", $2); if ($2 == "pannier-help") next }
    /^\.Sh/ { section = $0; inExample = 0 }
    /^\.Ex -std/ { next }
    section == ".Sh DESCRIPTION" && /^EXAMPLE$/ { inExample = 1; next }
    section == ".Sh DESCRIPTION" && /^\.Bl/ && !options { inExample = 0; options = 1; print ".Sh OPTIONS" }
    inExample { sub(/^  /, ""); if ($0 != "") example = example $0 "\n"; next }
    # An empty line is a paragraph, but none at the end of a section, before a list or another paragraph.
    /^$/ || /^\.Pp$/ { blank = 1; next }
    blank { if ($0 !~ /^\.(Sh|Bl|It|El)/) print ".Pp"; blank = 0 }
    /^\.Sh "EXIT STATUS"/ { print; statuses(); if (example != "") examples(); next }
    { print }
    function statuses() {
      print ".Bl -tag -width 6n"
      print ".It 0\nDone."
      print ".It 1\nFindings, differences, or parity outside its limit."
      print ".It 2\nMalformed or unsupported input."
      print ".It 3\nInput or output trouble: missing, not permitted, disk full, exists already."
      print ".It 64\nWrong usage."
      print ".It 130\nInterrupted."
      print ".El"
    }
    function examples() { printf ".Sh EXAMPLES\n.Bd -literal\n%s.Ed\n", example }
  ' "$page" > "$folder/$(echo "$name" | tr . -).1"
done
ls "$folder"
