//! Reads query parameters one by one and collects every fault.

use std::borrow::Cow;
use std::collections::HashSet;
use std::marker::PhantomData;

use poem::{FromRequest, Request, RequestBody};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::{ParseFromParameter, ParseResult, Type};

use super::body::bad_request;
use super::fields::display_name;
use super::problem::Problem;

/// The query parameters that have not been read yet.
#[derive(Debug)]
pub struct Parameters {
    pairs: Vec<(String, String)>,
    faults: Vec<String>,
}

impl Parameters {
    /// Parses a query such as `limit=5&status=created`.
    ///
    /// # Errors
    /// 400 if a `%` is not followed by two hexadecimal digits.
    pub fn new(query: &str) -> Result<Self, Problem> {
        if !is_percent_encoded(query) {
            let detail = "The query has a % that two hexadecimal digits do not follow.";
            return Err(bad_request(detail.to_owned()));
        }
        Ok(Self {
            pairs: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            faults: Vec::new(),
        })
    }

    /// Parses the query of `request`.
    ///
    /// # Errors
    /// As [`Parameters::new`].
    pub(super) fn of(request: &Request) -> Result<Self, Problem> {
        Self::new(request.uri().query().unwrap_or_default())
    }

    /// Parses the parameter `name`, if it is given. An error of `parse` completes a sentence that
    /// begins with the name.
    pub fn optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (mine, rest) = std::mem::take(&mut self.pairs)
            .into_iter()
            .partition::<Vec<_>, _>(|(given, _)| given == name);
        self.pairs = rest;
        if mine.len() > 1 {
            self.faults.push(format!("{name} is given more than once"));
        }
        let (_, text) = mine.first()?;
        parse(text).map_err(|fault| self.faults.push(format!("{name} {fault}"))).ok()
    }

    /// Reports all faults; parameters that were not read are unknown.
    ///
    /// # Errors
    /// 422 with all faults.
    pub fn finish(self) -> Result<(), Problem> {
        let faults = self.into_faults();
        if faults.is_empty() { Ok(()) } else { Err(Problem::invalid(faults)) }
    }

    /// Returns all faults, each unknown parameter once.
    pub(super) fn into_faults(self) -> Vec<String> {
        let Self { pairs, mut faults } = self;
        let mut named = HashSet::new();
        let unknown = pairs.iter().filter(|(name, _)| named.insert(name.as_str()));
        faults.extend(
            unknown
                .map(|(name, _)| format!("the query parameter {} is unknown", display_name(name))),
        );
        faults
    }
}

/// Returns true if two hexadecimal digits follow each `%`.
fn is_percent_encoded(query: &str) -> bool {
    query.split('%').skip(1).all(|rest| {
        rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

impl<'a> FromRequest<'a> for Parameters {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self::of(request)?)
    }
}

/// An extractor for operations without body and query parameters: rejects a request that has any.
#[derive(Debug, Clone, Copy)]
pub struct NoParameters;

impl<'a> FromRequest<'a> for NoParameters {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> poem::Result<Self> {
        Parameters::of(request)?.finish()?;
        Ok(Self)
    }
}

/// A parameter that the OpenAPI document describes as a `T` and that is passed on unparsed: the
/// framework would reject a request at the first invalid parameter.
#[derive(Debug, Clone)]
pub struct Unparsed<T> {
    /// The text that the client sent.
    pub text: String,
    schema: PhantomData<fn() -> T>,
}

impl<T: Type> Type for Unparsed<T> {
    const IS_REQUIRED: bool = T::IS_REQUIRED;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        T::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: Type> ParseFromParameter for Unparsed<T> {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        Ok(Self { text: value.to_owned(), schema: PhantomData })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u8, String> {
        text.parse().map_err(|_| "must be a number".to_owned())
    }

    #[test]
    fn parameters_are_read_and_all_faults_come_at_once() {
        let mut good = Parameters::new("b=2&a=%31").expect("a query");
        assert_eq!(good.optional("a", number), Some(1));
        assert_eq!(good.optional("b", number), Some(2));
        assert_eq!(good.optional("c", number), None);
        good.finish().expect("no faults");

        let mut bad =
            Parameters::new("a=x&b=1&b=2&colour=red&a%20b=&colour=blue").expect("a query");
        bad.optional("a", number);
        bad.optional("b", number);
        assert_eq!(
            bad.finish().expect_err("faults").errors(),
            [
                "a must be a number",
                "b is given more than once",
                "the query parameter colour is unknown",
                "the query parameter \"a b\" is unknown",
            ]
        );
    }

    #[test]
    fn a_percent_sign_needs_two_hexadecimal_digits() {
        for good in ["", "a=%41", "%ff=%00", "a=%e2%82%ac", "a=é"] {
            assert!(Parameters::new(good).is_ok(), "{good}");
        }
        for bad in ["%", "a=%", "a=%4", "a=%4g", "a=%%41", "a=%é", "%zz=1", "a=%41%"] {
            let problem = Parameters::new(bad).expect_err(bad);
            assert_eq!(problem.status().as_u16(), 400, "{bad}");
        }
    }
}
