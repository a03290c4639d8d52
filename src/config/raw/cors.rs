use std::time::Duration;

use crate::config::{
    cursor::{At, Written, section, some_texts, text, texts, truth},
    problem::Problems,
    units::duration,
    yaml::{Node, Value},
};

/// `cors` of a route.
#[derive(Debug)]
pub enum RouteCors {
    /// The name of a section of the file's `cors`.
    Named(String),
    /// As such a section.
    Stated(Cors),
}

/// One section of `cors`.
#[derive(Debug, Default)]
pub struct Cors {
    pub origins: Option<At<Vec<At<String>>>>,
    pub methods: Written<Vec<At<String>>>,
    pub headers: Written<Vec<At<String>>>,
    pub expose: Written<Vec<At<String>>>,
    pub max_age: Written<Duration>,
    pub credentials: Written<bool>,
}

impl RouteCors {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Plain(_) | Value::Quoted(_) => text(node, problems).map(Self::Named),
            Value::Nothing | Value::List(_) | Value::Mapping(_) | Value::Broken => {
                Cors::read(node, problems).map(Self::Stated)
            }
        }
    }
}

impl Cors {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            origins: fields.required("origins", some_texts),
            methods: fields.optional("methods", some_texts),
            headers: fields.optional("headers", texts),
            expose: fields.optional("expose", texts),
            max_age: fields.optional("max_age", duration),
            credentials: fields.optional("credentials", truth),
        })
    }
}
