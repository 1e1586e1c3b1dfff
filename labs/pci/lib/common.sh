# shellcheck shell=bash disable=SC2034 # sourced by the commands, which use the variables
# What the lab's commands share: where things are, and whether the lab is up.
here=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
checkout=$(dirname "$(dirname "$here")")
name=${LAB_NAME:-default}                                   # labs side by side each have a name
cache=${LAB_CACHE:-${CYBORG_CACHE:-${HOME:-/root}/.cache/cyborg}/pci}   # kernel and initramfs images, kept
run=${LAB_RUN:-/tmp/cyborg-pci-$(id -u)-$name}              # sockets, disks, jobs of a running lab: gone after `down`

fail() { echo "labs/pci/${0##*/}: $*" >&2; exit 125; }
need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || fail "'$tool' is missing: run labs/pci/install-packages"
    done
}

[[ $name =~ ^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$ ]] || fail "LAB_NAME must be letters, digits, '.', '_', '-' (32 at most)"
PATH=$PATH:/usr/sbin:/sbin

# The pid is QEMU's own: a pid that was given to somebody else does not count.
alive() {
    local pid
    pid=$(cat "$run/pid" 2>/dev/null) && [[ -n $pid ]] &&
        tr '\0' '\n' < "/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$run/"
}
# A lab's folder has the jobs of `run`: nothing else is removed, whatever LAB_RUN says.
remove_run() {
    [[ -e $run ]] || return 0
    [[ -d $run/x/jobs || -z $(ls -A "$run") ]] || fail "$run is no lab's folder and has something in it: set LAB_RUN to another"
    rm -rf "$run"
}
need_up() { alive || fail "the lab '$name' is not up: run labs/pci/up"; }
qmp() { python3 "$here/inside/qmp" "$run/qmp.sock" "$@"; }

# A pause without a process: the machine has little to spare while the lab boots.
exec {pause_fd}<> <(:)
pause() { read -r -t "$1" -u "$pause_fd" || true; }

# wait_booted SECONDS [BOOT-ID]: until the lab's machine says that it is ready, in another boot than BOOT-ID
wait_booted() {
    local deadline=$((SECONDS + $1)) booted
    while :; do
        booted=$(cat "$run/x/booted" 2>/dev/null) && [[ -n $booted && $booted != "${2:-}" ]] && return 0
        alive || return 1
        (( SECONDS < deadline )) || return 2
        pause 0.2
    done
}
