#!/bin/sh
# Volumes of the stopped stack to files and back:  volumes.sh save|load [NAME...]
#
# Each is a folder NAME of /volumes and a file NAME.tar of /backup, both below VOLUMES_ROOT where that is
# set; without names, all there are. `make backup` and `make restore` call it.
set -eu
umask 077
at=${VOLUMES_ROOT:-}

fail() {
  echo "volumes: $1" >&2
  exit 2
}

saved() {
  tar --create --numeric-owner --file "$at/backup/$1.tar.part" --directory "$at/volumes/$1" .
  sync "$at/backup/$1.tar.part"
  mv "$at/backup/$1.tar.part" "$at/backup/$1.tar"
  # tar itself does not miss an end that was cut off.
  (cd "$at/backup" && sha256sum "$1.tar" >"$1.tar.sha256")
  # They belong to whoever the folder belongs to.
  chown --reference "$at/backup" "$at/backup/$1.tar" "$at/backup/$1.tar.sha256"
  echo "$1: saved, $(du --human-readable "$at/backup/$1.tar" | cut -f 1)"
}

whole() {
  (cd "$at/backup" && sha256sum --check --status "$1.tar.sha256")
}

loaded() {
  find "$at/volumes/$1" -mindepth 1 -delete
  tar --extract --numeric-owner --preserve-permissions --file "$at/backup/$1.tar" --directory "$at/volumes/$1"
  echo "$1: restored"
}

action=${1:-}
[ $# -eq 0 ] || shift
case $action in
save)
  [ $# -gt 0 ] || set -- $(ls "$at/volumes")
  for name; do
    [ -d "$at/volumes/$name" ] || fail "found no volume $name; there are: $(ls "$at/volumes" | xargs)"
  done
  for name; do saved "$name"; done
  ;;
load)
  [ $# -gt 0 ] || set -- $(cd "$at/backup" && ls | sed -n 's/\.tar$//p')
  [ $# -gt 0 ] || fail "found no backup in that folder; name one that has some: BACKUP=backups/2026-01-31"
  # All of them are looked at before anything is replaced.
  for name; do
    [ -d "$at/volumes/$name" ] || fail "found no volume $name; there are: $(ls "$at/volumes" | xargs)"
    whole "$name" || fail "$name.tar is not what was saved; take another backup"
  done
  for name; do loaded "$name"; done
  ;;
*) fail "found '$action', expected save or load" ;;
esac
