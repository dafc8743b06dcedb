//! Ids, revisions, diagnostics, limits and checks of documents.
