//! What both HTTP APIs share.
