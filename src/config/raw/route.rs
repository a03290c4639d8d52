use std::time::Duration;

use super::RouteCors;
use crate::{
    config::{
        cursor::{At, Written, number, section, some_texts, text, texts, truth},
        problem::Problems,
        units::{duration, rate},
        yaml::Node,
    },
    limit::Rate,
};

/// One entry of `routes`.
#[derive(Debug)]
pub struct Route {
    pub pattern: Option<At<String>>,
    pub id: Written<String>,
    pub scope: Written<Vec<At<String>>>,
    pub public: Written<bool>,
    pub enforce: Written<String>,
    pub application_id: Written<ApplicationId>,
    pub upstream: Written<String>,
    pub forward_token: Written<bool>,
    pub idempotent: Written<bool>,
    pub encoded: Written<String>,
    pub rate: Written<Rate>,
    pub burst: Written<u64>,
    pub timeouts: Written<RouteTimeouts>,
    pub upgrade: Written<String>,
    pub close_on_expiry: Written<bool>,
    pub cors: Written<RouteCors>,
    pub session_token: Written<SessionToken>,
}

/// `timeouts` of a route.
#[derive(Debug, Default)]
pub struct RouteTimeouts {
    pub idle: Written<Duration>,
    pub total: Written<Duration>,
}

/// `application_id` of a route.
#[derive(Debug, Default)]
pub struct ApplicationId {
    pub path: Written<String>,
    pub query: Written<String>,
    pub header: Written<String>,
    pub body: Written<String>,
}

/// `session_token` of a route.
#[derive(Debug)]
pub struct SessionToken {
    pub application_id: Option<At<String>>,
    pub workflow_id: Option<At<String>>,
    pub redirect_url: Option<At<String>>,
    pub into: Option<At<String>>,
}

/// One entry of `scopes`.
#[derive(Debug)]
pub struct Scope {
    pub name: Option<At<String>>,
    pub implies: Written<Vec<At<String>>>,
    pub required_claims: Written<Vec<At<String>>>,
    pub bound_to: Written<String>,
}

impl Route {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            pattern: fields.required("match", text),
            id: fields.optional("id", text),
            scope: fields.optional("scope", some_texts),
            public: fields.optional("public", truth),
            enforce: fields.optional("enforce", text),
            application_id: fields.optional("application_id", ApplicationId::read),
            upstream: fields.optional("upstream", text),
            forward_token: fields.optional("forward_token", truth),
            idempotent: fields.optional("idempotent", truth),
            encoded: fields.optional("encoded", text),
            rate: fields.optional("rate", rate),
            burst: fields.optional("burst", number),
            timeouts: fields.optional("timeouts", RouteTimeouts::read),
            upgrade: fields.optional("upgrade", text),
            close_on_expiry: fields.optional("close_on_expiry", truth),
            cors: fields.optional("cors", RouteCors::read),
            session_token: fields.optional("session_token", SessionToken::read),
        })
    }
}

impl RouteTimeouts {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            idle: fields.optional("idle", duration),
            total: fields.optional("total", duration),
        })
    }
}

impl ApplicationId {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            path: fields.optional("path", text),
            query: fields.optional("query", text),
            header: fields.optional("header", text),
            body: fields.optional("body", text),
        })
    }
}

impl SessionToken {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            application_id: fields.required("application_id", text),
            workflow_id: fields.required("workflow_id", text),
            redirect_url: fields.required("redirect_url", text),
            into: fields.required("into", text),
        })
    }
}

impl Scope {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            name: fields.required("name", text),
            implies: fields.optional("implies", texts),
            required_claims: fields.optional("required_claims", texts),
            bound_to: fields.optional("bound_to", text),
        })
    }
}
