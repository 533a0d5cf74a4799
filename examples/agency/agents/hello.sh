#!/bin/sh
# The least that is an agent: read the session, say something, tell one turn, succeed.
read -r session
echo "hello to $OPENRTC_TENANT in session $OPENRTC_SESSION_ID"
echo '{"type":"turn","speaker":"agent","text":"hello","start_ms":0,"end_ms":0}' >&3
