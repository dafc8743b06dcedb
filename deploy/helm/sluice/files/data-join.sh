#!/bin/sh
# Gets a join token for a data node whose volume is empty. The node itself never sees the operator's token.
#   CONTROL_NODES  URLs of all control nodes
set -eu
umask 077
operator=/etc/sluice/operator
token=/var/lib/sluice/join-token

# A node already; or an attempt that was cut off, which goes on with the token it began with.
[ ! -e "$SLUICE_DATA_DIR/identity.json" ] || exit 0
[ ! -e "$SLUICE_DATA_DIR/joining.json" ] || exit 0
if [ ! -e "$operator/operator.token" ]; then
    echo "no operator's token to join with: make the secret, see deploy/docs/operating.md" >&2
    exit 1
fi
sluice --control "$CONTROL_NODES" --token-file "$operator/operator.token" --ca-file "$operator/ca.pem" \
    --timeout 30s cluster token create --role data --ttl 1h > "$token"
