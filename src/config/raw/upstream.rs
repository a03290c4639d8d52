use std::time::Duration;

use crate::config::{
    cursor::{At, Written, number, section, some, text, truth},
    problem::Problems,
    units::duration,
    yaml::{Node, Value},
};

/// One entry of `upstreams`.
#[derive(Debug)]
pub struct Upstream {
    pub servers: Option<At<Vec<At<Server>>>>,
    pub balance: Written<String>,
    pub timeouts: Written<Timeouts>,
    pub health: Written<Health>,
    pub eject: Written<Eject>,
    pub slow_start: Written<Duration>,
    pub max_requests: Written<u64>,
    pub resolve_every: Written<Duration>,
    pub pool: Written<Pool>,
    pub protocol: Written<String>,
    pub host: Written<String>,
    pub case: Written<String>,
    pub tls: Written<Tls>,
}

/// One entry of `servers`: its address alone, or with more.
#[derive(Debug)]
pub struct Server {
    pub address: Option<At<String>>,
    pub weight: Written<u64>,
}

/// `timeouts` of an upstream.
#[derive(Debug, Default)]
pub struct Timeouts {
    pub connect: Written<Duration>,
    pub read: Written<Duration>,
    pub idle: Written<Duration>,
    pub total: Written<Duration>,
}

/// `health` of an upstream.
#[derive(Debug)]
pub struct Health {
    pub path: Written<String>,
    pub tcp: Written<bool>,
    pub expect: Written<u64>,
    pub every: Written<Duration>,
    pub timeout: Written<Duration>,
    pub healthy_after: Written<u64>,
    pub unhealthy_after: Written<u64>,
}

/// `eject` of an upstream.
#[derive(Debug)]
pub enum Eject {
    /// `never`
    Never,
    After {
        failures: Written<u64>,
        lasting: Written<Duration>,
    },
}

/// `pool` of an upstream.
#[derive(Debug, Default)]
pub struct Pool {
    pub idle: Written<u64>,
}

/// `tls` of an upstream.
#[derive(Debug)]
pub struct Tls {
    pub ca: Written<String>,
    pub certificate: Written<String>,
    pub key: Written<String>,
    pub sni: Written<String>,
    pub verify: Written<bool>,
}

impl Upstream {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            servers: fields.required("servers", some(Server::read)),
            balance: fields.optional("balance", text),
            timeouts: fields.optional("timeouts", Timeouts::read),
            health: fields.optional("health", Health::read),
            eject: fields.optional("eject", Eject::read),
            slow_start: fields.optional("slow_start", duration),
            max_requests: fields.optional("max_requests", number),
            resolve_every: fields.optional("resolve_every", duration),
            pool: fields.optional("pool", Pool::read),
            protocol: fields.optional("protocol", text),
            host: fields.optional("host", text),
            case: fields.optional("case", text),
            tls: fields.optional("tls", Tls::read),
        })
    }
}

impl Server {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if !matches!(node.value, Value::Mapping(_)) {
            let value = text(node, problems)?;
            return Some(Self { address: Some(At { place: node.place, value }), weight: Written::Absent });
        }
        section(node, problems, |fields| Self {
            address: fields.required("address", text),
            weight: fields.optional("weight", number),
        })
    }
}

impl Timeouts {
    pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            connect: fields.optional("connect", duration),
            read: fields.optional("read", duration),
            idle: fields.optional("idle", duration),
            total: fields.optional("total", duration),
        })
    }
}

impl Health {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            path: fields.optional("path", text),
            tcp: fields.optional("tcp", truth),
            expect: fields.optional("expect", number),
            every: fields.optional("every", duration),
            timeout: fields.optional("timeout", duration),
            healthy_after: fields.optional("healthy_after", number),
            unhealthy_after: fields.optional("unhealthy_after", number),
        })
    }
}

impl Eject {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        if matches!(&node.value, Value::Plain(text) if text == "never") {
            return Some(Self::Never);
        }
        section(node, problems, |fields| Self::After {
            failures: fields.optional("failures", number),
            lasting: fields.optional("for", duration),
        })
    }
}

impl Pool {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self { idle: fields.optional("idle", number) })
    }
}

impl Tls {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        section(node, problems, |fields| Self {
            ca: fields.optional("ca", text),
            certificate: fields.optional("certificate", text),
            key: fields.optional("key", text),
            sni: fields.optional("sni", text),
            verify: fields.optional("verify", truth),
        })
    }
}
