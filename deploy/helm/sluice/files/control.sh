#!/bin/sh
# A control node: founds or joins its cluster where the volume is empty, then is the node.
#   CONTROL_NODES  URLs of all control nodes
#   FOUNDER        the pod that may found a cluster; empty when none may
set -eu
umask 077
operator=/etc/sluice/operator
token=/var/lib/sluice/join-token

if [ ! -e "$SLUICE_DATA_DIR/identity/identity.json" ]; then
    if [ -e "$operator/operator.token" ]; then
        # An attempt that was cut off goes on with the token it began with: it may have been used already.
        if [ ! -e "$SLUICE_DATA_DIR/identity/joining.json" ]; then
            sluice --control "$CONTROL_NODES" --token-file "$operator/operator.token" --ca-file "$operator/ca.pem" \
                --timeout 30s cluster token create --role control --ttl 10m > "$token"
        fi
        export SLUICE_JOIN="$CONTROL_NODES" SLUICE_JOIN_TOKEN_FILE="$token"
    elif [ -n "$FOUNDER" ] && [ "$FOUNDER" = "$POD_NAME" ]; then
        # Only without the secret, which says that a cluster was founded: a volume that was lost must not found another.
        export SLUICE_BOOTSTRAP=true
    else
        echo "an empty volume and no operator's token to join with: make the secret, see deploy/docs/operating.md" >&2
        exit 1
    fi
fi
exec sluice-control --config /etc/sluice/settings/control.toml
