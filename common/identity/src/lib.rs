//! Cluster identity: certificates, join tokens, sealing, channels and listeners.
