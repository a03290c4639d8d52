use std::time::Duration;

use crate::config::{
    cursor::{At, Written, section, some, text},
    problem::{Place, Problems},
    units::duration,
    yaml::Node,
};

/// One entry of `upstreams`.
#[derive(Debug)]
pub struct Upstream {
    pub servers: Option<At<Vec<At<String>>>>,
    pub timeouts: Written<Timeouts>,
    pub health: Option<Place>,
}

/// `timeouts` of an upstream.
#[derive(Debug, Default)]
pub struct Timeouts {
    pub connect: Written<Duration>,
    pub read: Written<Duration>,
    pub idle: Written<Duration>,
}

impl Upstream {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            servers: fields.required("servers", some(text)),
            timeouts: fields.optional("timeouts", Timeouts::read),
            health: fields.unsupported("health", health),
        })
    }
}

impl Timeouts {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            connect: fields.optional("connect", duration),
            read: fields.optional("read", duration),
            idle: fields.optional("idle", duration),
        })
    }
}

// What later releases bring is read here for misspelt keys and wrong types, and refused by the check.

fn health(node: &Node, problems: &mut Problems) -> Option<()> {
    section(node, problems, |fields| {
        fields.required("path", text);
        fields.optional("every", duration);
    })
}
