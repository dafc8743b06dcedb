//! Calling integrations: HTTP backends and MOCK.
