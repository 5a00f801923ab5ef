#!/bin/sh
# certificates.sh FOLDER: makes what a test of TLS needs. Of each there is NAME.crt and NAME.key:
#   ca, other_ca       authorities
#   server             for the host db.example.org, signed by ca
#   local              for the host localhost, signed by ca
#   client             for the user "certified", signed by ca
#   stranger           for the user "certified", signed by other_ca
# Needs openssl. It takes a fifth of a second.
set -eu
cd "$1"
umask 077

key() { openssl ecparam -genkey -name prime256v1 -noout -out "$1.key"; }

authority() {
    key "$1"
    openssl req -new -x509 -key "$1.key" -days 2 -subj "/CN=$1" -out "$1.crt"
}

# signed NAME SUBJECT AUTHORITY [EXTENSION]
signed() {
    key "$1"
    openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
    printf '%s\n' "${4:-}" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA "$3.crt" -CAkey "$3.key" -CAcreateserial -days 2 \
        -extfile "$1.ext" -out "$1.crt" 2>openssl.log
}

authority ca
authority other_ca
signed server /CN=db.example.org ca subjectAltName=DNS:db.example.org
signed local /CN=localhost ca subjectAltName=DNS:localhost
signed client /CN=certified ca
signed stranger /CN=certified other_ca
