//! The answers that are words of the status document: the page, the JSON and the metrics. The node
//! asks [`Document::of`] which one a path names before it writes a status.

use crate::base::status::{Status, json};
use crate::http::answer::Response;
use crate::http::{metrics, page};

/// Something that is written anew for each request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Document {
    /// `/`, for people.
    Page,
    /// `/status.json`, for programs.
    Status,
    /// `/metrics`, for monitoring.
    Metrics,
    /// `/page.js`, for the page.
    Script,
}

impl Document {
    /// The document at a path.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/" => Some(Self::Page),
            "/status.json" => Some(Self::Status),
            "/metrics" => Some(Self::Metrics),
            page::SCRIPT_PATH => Some(Self::Script),
            _ => None,
        }
    }

    /// It, from a status.
    #[must_use]
    pub fn response(self, status: &Status) -> Response {
        let response = match self {
            Self::Page => Response::new(200, page::MEDIA_TYPE, page::html(status).into_bytes())
                .with("Content-Security-Policy", page::POLICY)
                .with("Referrer-Policy", "no-referrer"),
            Self::Status => Response::new(200, "application/json", json(status)),
            Self::Metrics => {
                Response::new(200, metrics::MEDIA_TYPE, metrics::exposition(status).into_bytes())
            }
            Self::Script => {
                Response::new(200, "text/javascript; charset=utf-8", page::SCRIPT.as_bytes())
            }
        };
        response.with("Cache-Control", "no-store").with("X-Content-Type-Options", "nosniff")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Body;
    use crate::http::samples::full;

    #[test]
    fn each_path_gives_its_document() {
        for (path, media_type, beginning) in [
            ("/", "text/html; charset=utf-8", "<!DOCTYPE html>"),
            ("/status.json", "application/json", "{"),
            ("/metrics", metrics::MEDIA_TYPE, "# TYPE "),
            ("/page.js", "text/javascript; charset=utf-8", "\"use strict\";"),
        ] {
            let response = Document::of(path).unwrap().response(&full());
            assert!(response.headers.contains(&("Content-Type", media_type.to_owned())));
            let Body::Bytes(bytes) = response.body else { panic!("{path} is written here") };
            assert!(bytes.starts_with(beginning.as_bytes()), "{path}");
        }
        assert_eq!(Document::of("/healthz"), None);
    }
}
