//! The JSON body of a request: parsed, or rejected with all its faults at once.

use poem::http::HeaderMap;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::value::RawValue;

use super::body::{bad_request, read_json};
use super::fields::Fields;
use super::json::Json;
use super::parameters::Parameters;
use super::problem::Problem;

/// A type that is parsed from the body of a request.
pub trait FromBody: Sized + Send {
    /// The type that describes the body in the OpenAPI document.
    type Schema: Type;

    /// Returns the faults of headers that belong to the body. They are reported together with the
    /// body's.
    fn header_faults(_headers: &HeaderMap) -> Vec<String> {
        Vec::new()
    }

    /// Reads the members of the body. Returns `None` if there were faults, which `fields` collects.
    fn from_fields(fields: &mut Fields<'_, '_>) -> Option<Self>;
}

/// A parsed JSON body. Rejects invalid JSON with 400, an oversized body with 413, another media
/// type with 415, and a body that breaks rules with 422 and a list of all of them. An operation
/// with a body has no query parameters.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<'a, T: FromBody> ApiExtractor<'a> for JsonBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::Schema::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType {
                content_type: "application/json",
                schema: T::Schema::schema_ref(),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let bytes = read_json(request, body.take()?).await?;
        let mut faults = Parameters::of(request)?.into_faults();
        faults.extend(T::header_faults(request.headers()));
        Ok(Self(parse(&bytes, faults)?))
    }
}

/// Parses a body; `faults` are the other faults of the request.
///
/// # Errors
/// 400 if it is not JSON, 422 if it breaks rules.
pub fn parse<T: FromBody>(bytes: &[u8], mut faults: Vec<String>) -> Result<T, Problem> {
    let malformed = |reason: &str| bad_request(format!("The body is not JSON: {reason}."));
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))?;
    let raw: &RawValue =
        serde_json::from_str(text).map_err(|error| malformed(&error.to_string()))?;
    let members = match Json::read(raw).map_err(|error| malformed(&error.to_string()))? {
        Json::Object(members) => members,
        other => {
            faults.push(format!("the body must be an object, not {}", other.kind()));
            return Err(Problem::invalid(faults));
        }
    };
    let mut fields = Fields::new(String::new(), members, &mut faults);
    let parsed = T::from_fields(&mut fields);
    fields.finish();
    match parsed {
        Some(parsed) if faults.is_empty() => Ok(parsed),
        _ => Err(Problem::invalid(faults)),
    }
}

#[cfg(test)]
mod tests {
    use poem::http::StatusCode;

    use super::super::json::{self, FromJson};
    use super::*;

    #[derive(Debug)]
    struct Name(String);
    #[derive(Debug)]
    struct Count(i32);

    impl FromJson for Name {
        fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
            json::line(value, 5).map(Self)
        }
    }

    impl FromJson for Count {
        fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
            json::integer(&value, 1..=9).map(Self)
        }
    }

    #[derive(Debug)]
    struct Thing(Name, Count);

    impl FromBody for Thing {
        type Schema = String;

        fn from_fields(fields: &mut Fields<'_, '_>) -> Option<Self> {
            fields.object("thing", |thing| {
                let name = thing.required("name");
                let count = thing.required("count");
                Some(Self(name?, count?))
            })
        }
    }

    fn faults(body: &str) -> Vec<String> {
        let problem = parse::<Thing>(body.as_bytes(), Vec::new()).expect_err(body);
        assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        problem.errors().to_vec()
    }

    #[test]
    fn a_good_body_is_parsed() {
        let Thing(name, count) =
            parse(br#" {"thing":{"count":3,"name":"caf\u00e9"}} "#, Vec::new())
                .expect("a good body");
        assert_eq!((name.0.as_str(), count.0), ("café", 3));
    }

    #[test]
    fn all_faults_come_at_once() {
        assert_eq!(
            faults(r#"{"thing":{"name":"","count":"3","x\ny":[[[]]],"name":"b"},"other":1}"#),
            [
                "thing.name is given more than once",
                "thing.name must not be blank",
                "thing.count must be an integer from 1 to 9, not a string",
                "thing.\"x\\ny\" is unknown",
                "other is unknown",
            ]
        );
        assert_eq!(
            faults(r#"{"thing":{"name":null}}"#),
            ["thing.name must be a string, not null", "thing.count is missing"]
        );
        assert_eq!(faults("{}"), ["thing is missing"]);
        assert_eq!(faults(r#"{"thing":[]}"#), ["thing must be an object, not an array"]);
        for (body, fault) in
            [("7", "the body must be an object, not a number"), ("{}", "thing is missing")]
        {
            let problem = parse::<Thing>(body.as_bytes(), vec!["a header is wrong".to_owned()])
                .expect_err(body);
            assert_eq!(problem.errors(), ["a header is wrong", fault]);
        }
        assert_eq!(faults("[]"), ["the body must be an object, not an array"]);
        assert_eq!(faults("7"), ["the body must be an object, not a number"]);
        assert_eq!(
            faults(r#"{"thing":{"name":"\ud800","count":1}}"#),
            ["thing.name holds an escape that is no character"]
        );
    }

    #[test]
    fn what_is_no_json_is_a_bad_request() {
        let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(29_999));
        for bad in [
            &b""[..],
            b"{",
            b"{} {}",
            b"{'a':1}",
            b"{\"a\":01}",
            b"nul",
            b"\"\xff\"",
            b"\xef\xbb\xbf{}",
            deep.as_bytes(),
        ] {
            let problem = parse::<Thing>(bad, Vec::new()).expect_err("no JSON");
            assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn depth_is_harmless() {
        let deep = format!("{{\"thing\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        assert_eq!(faults(&deep), ["thing must be an object, not an array"]);
    }
}
