//! Shapes of JSON that the framework has no types for: a member that is always there and may be
//! null, and a member of two types. And the tabs that several lists have.

use std::borrow::Cow;

use poem_openapi::Object;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use serde_json::Value;

/// A value or null. An `Option` stands for a member that may be absent.
#[derive(Debug)]
pub(super) struct Nullable<T>(Option<T>);

impl<T: Type> Type for Nullable<T> {
    const IS_REQUIRED: bool = true;

    type RawValueType = T::RawValueType;

    type RawElementValueType = T::RawElementValueType;

    fn name() -> Cow<'static, str> {
        format!("nullable_{}", T::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let schema = match T::schema_ref() {
            MetaSchemaRef::Inline(schema) => *schema,
            reference @ MetaSchemaRef::Reference(_) => {
                MetaSchema { all_of: vec![reference], ..MetaSchema::ANY }
            }
        };
        MetaSchemaRef::Inline(Box::new(MetaSchema { nullable: true, ..schema }))
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        self.0.as_ref()?.as_raw_value()
    }

    fn raw_element_iter<'a>(
        &'a self,
    ) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
        self.0.raw_element_iter()
    }
}

impl<T: ParseFromJSON> ParseFromJSON for Nullable<T> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Option::parse_from_json(value).map(Self).map_err(ParseError::propagate)
    }
}

impl<T: ToJSON> ToJSON for Nullable<T> {
    fn to_json(&self) -> Option<Value> {
        self.0.to_json()
    }
}

/// A value of one type or of another. A union of the framework's is always an object.
#[derive(Debug)]
pub(super) enum Either<A, B> {
    One(A),
    Other(B),
}

impl<A: Type, B: Type> Type for Either<A, B> {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;

    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        format!("{}_or_{}", A::name(), B::name()).into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let any_of = vec![A::schema_ref(), B::schema_ref()];
        MetaSchemaRef::Inline(Box::new(MetaSchema { any_of, ..MetaSchema::ANY }))
    }

    fn register(registry: &mut Registry) {
        A::register(registry);
        B::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<A: ParseFromJSON, B: ParseFromJSON> ParseFromJSON for Either<A, B> {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        match A::parse_from_json(value.clone()) {
            Ok(one) => Ok(Self::One(one)),
            Err(_) => B::parse_from_json(value).map(Self::Other).map_err(ParseError::propagate),
        }
    }
}

impl<A: ToJSON, B: ToJSON> ToJSON for Either<A, B> {
    fn to_json(&self) -> Option<Value> {
        match self {
            Self::One(one) => one.to_json(),
            Self::Other(other) => other.to_json(),
        }
    }
}

/// The link to another state of a list, or to another list
#[derive(Debug, Object)]
pub(super) struct Tab {
    name: String,
    /// The page for people
    href: String,
    is_current: bool,
    count: Nullable<u64>,
}
