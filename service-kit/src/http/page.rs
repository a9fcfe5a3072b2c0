//! Keyset pages: `limit`, an opaque `cursor`, and the `Link` to the next page
//! ([RFC 8288](https://www.rfc-editor.org/rfc/rfc8288)).

use std::borrow::Cow;

use poem::Request;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::Type;
use uuid::Uuid;

use super::parameters::Parameters;

const DEFAULT_LIMIT: u16 = 50;
const MAX_LIMIT: u16 = 500;

/// The page of a list that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The largest number of rows.
    pub limit: u16,
    /// The last row of the previous page.
    pub after: Option<Uuid>,
}

impl Page {
    /// Reads `limit` and `cursor`.
    pub fn from_parameters(parameters: &mut Parameters) -> Self {
        let limit = parameters.optional("limit", |text| {
            // A sign is not allowed, but Rust's parser accepts it.
            Some(text)
                .filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| format!("must be an integer from 1 to {MAX_LIMIT}"))
        });
        let after = parameters.optional("cursor", |text| {
            (text.len() == 32)
                .then(|| Uuid::try_parse(text).ok())
                .flatten()
                .ok_or_else(|| "must be one that a Link header gave".to_owned())
        });
        Self { limit: limit.unwrap_or(DEFAULT_LIMIT), after }
    }

    /// Returns how many rows to read: one more than the page holds, which shows whether there is a
    /// next page.
    #[must_use]
    pub fn rows_to_read(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Truncates `rows` to the page and returns the `Link` to the next page, if there is one.
    pub fn cut<T>(
        &self,
        rows: &mut Vec<T>,
        request: &Request,
        id: impl FnOnce(&T) -> Uuid,
    ) -> Option<String> {
        if rows.len() <= usize::from(self.limit) {
            return None;
        }
        rows.truncate(usize::from(self.limit));
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let given = request.uri().query().unwrap_or_default();
        query.extend_pairs(
            url::form_urlencoded::parse(given.as_bytes()).filter(|(name, _)| name != "cursor"),
        );
        query.append_pair("cursor", &id(rows.last()?).simple().to_string());
        // Relative to the request, so that it is valid whatever host and prefix a proxy uses.
        Some(format!("<{}?{}>; rel=\"next\"", request.uri().path(), query.finish()))
    }
}

/// The schema of `limit` in the OpenAPI document.
#[derive(Debug)]
pub struct Limit;

/// The schema of `cursor` in the OpenAPI document.
#[derive(Debug)]
pub struct Cursor;

impl Type for Limit {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "limit".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            minimum: Some(1.0),
            maximum: Some(f64::from(MAX_LIMIT)),
            default: Some(DEFAULT_LIMIT.into()),
            ..MetaSchema::new("integer")
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl Type for Cursor {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "cursor".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            pattern: Some("^[0-9A-Fa-f]{32}$".to_owned()),
            ..MetaSchema::new("string")
        }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Result<Page, Vec<String>> {
        let mut parameters = Parameters::new(query).expect("a query");
        let page = Page::from_parameters(&mut parameters);
        match parameters.finish() {
            Ok(()) => Ok(page),
            Err(problem) => Err(problem.errors().to_vec()),
        }
    }

    #[test]
    fn a_limit_has_a_default_and_bounds() {
        assert_eq!(page("").map(|page| page.limit), Ok(50));
        assert_eq!(page("limit=1").map(|page| page.limit), Ok(1));
        assert_eq!(page("limit=500").map(|page| page.limit), Ok(500));
        for wrong in ["0", "501", "-1", "%2B5", "+5", "5%20", "x", "", "1e2", "99999999999"] {
            assert!(page(&format!("limit={wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_link_leads_to_what_follows_the_last_row_and_keeps_the_filters() {
        let request = Request::builder()
            .uri_str("/things?limit=2&status=a%26b&cursor=ffffffffffffffffffffffffffffffff")
            .finish();
        let read = Page { limit: 2, after: None };
        let mut rows: Vec<Uuid> = (1..=3).map(Uuid::from_u128).collect();
        let link = read.cut(&mut rows, &request, |row| *row).expect("a link");
        assert_eq!(rows.len(), 2);
        assert_eq!(
            link,
            "</things?limit=2&status=a%26b&cursor=00000000000000000000000000000002>; rel=\"next\""
        );
        assert_eq!(
            page("cursor=00000000000000000000000000000002").map(|page| page.after),
            Ok(Some(Uuid::from_u128(2)))
        );
        assert_eq!(read.cut(&mut rows, &request, |row| *row), None);
    }

    #[test]
    fn a_well_formed_cursor_is_a_position_and_any_other_is_refused() {
        for position in ["0".repeat(32), "f".repeat(32), "F00dF00dF00dF00dF00dF00dF00dF00d".into()]
        {
            let read = page(&format!("cursor={position}")).expect(&position);
            let after = read.after.expect("a position");
            assert!(after.simple().to_string().eq_ignore_ascii_case(&position));
        }
        let odd = ["", "x", "2", "00000000-0000-0000-0000-000000000002"];
        for wrong in odd.into_iter().chain([&*"g".repeat(32), &*"0".repeat(33)]) {
            assert!(page(&format!("cursor={wrong}")).is_err(), "{wrong}");
        }
    }
}
