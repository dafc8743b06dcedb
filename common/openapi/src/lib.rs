//! OpenAPI 3 and Swagger 2 to documents.
