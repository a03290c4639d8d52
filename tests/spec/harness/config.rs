use std::{fmt::Write, net::SocketAddr};

/// The routes that every gateway of the tests has unless it asks for others.
const DEFAULT_ROUTES: [&str; 10] = [
    "{match: POST /v1/applications.create, scope: application}",
    "{match: POST /v1/applications.get, scope: [application.read, application.session], application_id: {body: /applicationId}}",
    "{match: POST /v1/applications.organization.get, scope: [application.read, application.session], application_id: {body: /applicationId}}",
    "{match: POST /v1/applications.*, scope: [application, application.session], application_id: {body: /applicationId}}",
    "{match: \"GET /v1/applications/{application_id}/**\", scope: [application.read, application.session], application_id: {path: application_id}}",
    "{match: GET /v1/search, scope: [application.read, application.session], application_id: {query: applicationId}}",
    "{match: GET /v1/current, scope: [application.read, application.session], application_id: {header: X-Chosen-Application}}",
    "{match: GET /v1/applications, scope: application.read}",
    "{match: \"* /v1/any/**\", scope: application}",
    "{match: GET /healthz, public: true}",
];

/// What `gateway.yaml` of one test says: YAML fragments, put together in [`Config::yaml`].
#[derive(Clone)]
pub struct Config {
    pub routes: Vec<String>,
    pub issuer: Vec<String>,
    pub limits: Vec<String>,
    pub timeouts: Vec<String>,
    pub extra: Vec<String>,
    /// Listeners beside the plain one, in YAML flow form.
    pub listeners: Vec<String>,
    /// Keys of the plain listener.
    pub plain: Vec<String>,
    /// Files beside `gateway.yaml`, by name.
    pub files: Vec<(String, String)>,
    /// What follows the address of the admin listener, with a comma before it.
    pub admin: String,
    /// Keys of the upstream group beside its servers and timeouts.
    pub group: Vec<String>,
    /// What stands in the list of servers, with `$1`, `$2`… for the addresses of the recording ones; none: those alone.
    pub servers: Option<Vec<String>>,
    /// How many recording upstreams stand behind the gateway.
    pub upstreams: usize,
    /// A server that the upstream group names instead of the recording ones.
    pub instead: Option<SocketAddr>,
    pub algorithm: &'static str,
    /// The issuer's name; none: the public address.
    pub issuer_url: Option<String>,
    /// Where the store is, and its key beside it.
    pub store: String,
    pub store_key: String,
    /// The scope of the client that exists before the gateway starts; none: an empty store.
    pub client: Option<&'static str>,
    /// Environment of the gateway process.
    pub environment: Vec<(String, String)>,
    /// How many file descriptors the gateway process may have; none: as many as this one.
    pub descriptors: Option<u32>,
    /// Replaces everything but the listeners' addresses.
    pub whole: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            routes: DEFAULT_ROUTES.iter().map(ToString::to_string).collect(),
            issuer: Vec::new(),
            limits: Vec::new(),
            timeouts: Vec::new(),
            extra: Vec::new(),
            listeners: Vec::new(),
            plain: Vec::new(),
            files: Vec::new(),
            admin: String::new(),
            group: Vec::new(),
            servers: None,
            upstreams: 1,
            instead: None,
            algorithm: "ES256",
            issuer_url: None,
            store: "sqlite:gateway.db".to_owned(),
            store_key: "file:gateway.key".to_owned(),
            client: Some("application application.read application.session"),
            environment: Vec::new(),
            descriptors: None,
            whole: None,
        }
    }
}

impl Config {
    /// Adds a route, in YAML flow form.
    pub fn route(&mut self, text: &str) -> &mut Self {
        self.routes.push(text.to_owned());
        self
    }

    /// Adds `key: value` to the issuer.
    pub fn issuer(&mut self, text: &str) -> &mut Self {
        self.issuer.push(text.to_owned());
        self
    }

    /// Adds `key: value` to the limits.
    pub fn limit(&mut self, text: &str) -> &mut Self {
        self.limits.push(text.to_owned());
        self
    }

    /// Adds `key: value` to the timeouts of the upstream.
    pub fn timeout(&mut self, text: &str) -> &mut Self {
        self.timeouts.push(text.to_owned());
        self
    }

    /// Adds `key: value` to the upstream group.
    pub fn group(&mut self, text: &str) -> &mut Self {
        self.group.push(text.to_owned());
        self
    }

    /// Names these servers, with `$1`, `$2`… for the addresses of the recording ones.
    pub fn servers(&mut self, servers: &[&str]) -> &mut Self {
        self.servers = Some(servers.iter().map(ToString::to_string).collect());
        self
    }

    /// Adds a file beside `gateway.yaml`.
    pub fn file(&mut self, name: &str, content: &str) -> &mut Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    /// Adds a top-level section.
    pub fn section(&mut self, text: &str) -> &mut Self {
        self.extra.push(text.to_owned());
        self
    }

    /// Adds a listener beside the plain one, in YAML flow form.
    pub fn listener(&mut self, text: &str) -> &mut Self {
        self.listeners.push(text.to_owned());
        self
    }

    /// Adds `key: value` to the plain listener.
    pub fn plain(&mut self, text: &str) -> &mut Self {
        self.plain.push(text.to_owned());
        self
    }

    /// The text of `gateway.yaml`.
    pub fn yaml(&self, public: SocketAddr, admin: SocketAddr, servers: &[SocketAddr]) -> String {
        let mut text = format!("listen:\n  - address: {public}\n");
        self.plain.iter().for_each(|line| text += &format!("    {line}\n"));
        self.listeners.iter().for_each(|listener| text += &format!("  - {listener}\n"));
        let _ = writeln!(text, "admin: {{address: \"{admin}\"{}}}", self.admin);
        if let Some(whole) = &self.whole {
            return text + whole;
        }
        let issuer = self.issuer_url.clone().unwrap_or_else(|| format!("http://{public}"));
        let _ = write!(text, "issuer:\n  url: {issuer}\n  audience: applications-api\n");
        let _ = writeln!(text, "  algorithm: {}", self.algorithm);
        self.issuer.iter().for_each(|line| text += &format!("  {line}\n"));
        let _ = writeln!(text, "store: {}\nstore_key: {}\nthreads: 2", self.store, self.store_key);
        text += "upstreams:\n  applications:\n";
        let mut servers: Vec<String> = servers.iter().map(|server| format!("\"{server}\"")).collect();
        if let Some(own) = &self.servers {
            let placed = |text: &String| {
                let numbered = servers.iter().enumerate();
                numbered.fold(text.clone(), |text, (place, server)| text.replace(&format!("${}", place + 1), server))
            };
            servers = own.iter().map(placed).collect();
        }
        let _ = writeln!(text, "    servers: [{}]", servers.join(", "));
        self.group.iter().for_each(|line| text += &format!("    {line}\n"));
        if !self.timeouts.is_empty() {
            let _ = writeln!(text, "    timeouts: {{{}}}", self.timeouts.join(", "));
        }
        text += "routes:\n";
        self.routes.iter().for_each(|route| text += &format!("  - {route}\n"));
        if !self.limits.is_empty() {
            let _ = writeln!(text, "limits: {{{}}}", self.limits.join(", "));
        }
        self.extra.iter().for_each(|section| text += &format!("{section}\n"));
        text
    }
}
