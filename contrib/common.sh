# Shell functions shared by contrib/quickstart and contrib/test; sourced by bash, not run.
# shellcheck shell=bash disable=SC2034 # the variables are for those who source it

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# What it takes to build lintel on Debian 12.
build_packages=(gcc libc6-dev make autoconf automake pkgconf libevent-dev libssl-dev
	libcurl4-openssl-dev libjson-c-dev libyaml-dev libldns-dev libexpat1-dev libwslay-dev
	libseccomp-dev libsystemd-dev)

say() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
	say "$@"
	exit 1
}

# Prints those of the packages that are not installed.
missing_packages() {
	local package
	for package in "$@"; do
		if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
			printf '%s\n' "$package"
		fi
	done
}

# What goes before a command that needs root.
as_root=()
if ((EUID != 0)); then
	as_root=(sudo)
fi

# Installs with apt what is missing; touches nothing, and needs no right, when all is there.
install_packages() {
	local missing
	if ! command -v dpkg-query >/dev/null; then
		die "this is no Debian; install what stands for these packages and build by hand" \
			"(autoreconf -i && ./configure && make): $*"
	fi
	mapfile -t missing < <(missing_packages "$@")
	if ((${#missing[@]} == 0)); then
		return 0
	fi
	if ((EUID != 0)) && ! command -v sudo >/dev/null; then
		die "please install as root: apt-get install ${missing[*]}"
	fi
	say "installing with apt: ${missing[*]}"
	"${as_root[@]}" apt-get -q update
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y --no-install-recommends install "${missing[@]}"
}

# build DIR [CONFIGURE-ARGUMENT...]: configures $top into DIR, when that was not done with these
# arguments already, and makes everything. What has not changed is not built again.
build() {
	local dir=$1 key
	shift
	key="$top $*"
	if [[ $top == *[[:space:]]* ]]; then
		die "configure and make want no white space in a path: put the source tree elsewhere"
	fi
	if [[ ! -x $top/configure ]]; then
		say "making configure"
		(cd "$top" && autoreconf -i) || return
	fi
	mkdir -p "$dir" || return
	if [[ ! -f $dir/Makefile || $(cat "$dir/configured" 2>/dev/null) != "$key" ]]; then
		say "configuring ${dir#"$top"/}"
		(cd "$dir" && "$top/configure" --quiet "$@") || return
		printf '%s' "$key" >"$dir/configured" || return
	fi
	say "building in ${dir#"$top"/}"
	make -C "$dir" --no-print-directory -j"$(nproc)"
}

# start_group COMMAND...: starts it in a process group of its own, so that ^C reaches this script
# alone and the script decides in which order things stop. The process id is in $started.
start_group() {
	set -m
	"$@" </dev/null &
	started=$!
	set +m
}
