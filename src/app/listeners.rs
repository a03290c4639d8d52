//! From the listeners of the configuration to those that take connections.

use std::{
    fs,
    io::{Error, ErrorKind},
    net::{TcpListener, TcpStream},
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixStream,
    },
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use pingora::{
    listeners::{ListenerConfig, TcpSocketOptions},
    protocols::l4::{ext::TcpKeepalive, stream::L4BufferSettings},
    services::listening::Service,
};

use super::AppError;
use crate::{
    config::{self, Config, Http2, ListenAddress},
    domain::Timestamp,
    proxy::Listener,
    tls::{self, Renewable},
};

/// Everything that listens, its certificates read.
pub(super) struct Opened {
    pub(super) public: Vec<Listener>,
    pub(super) admin: Listener,
}

impl Opened {
    /// Reads the certificates of all listeners, and fails where one of them cannot be bound.
    pub(super) fn new(config: &Config) -> Result<Self, AppError> {
        let trusted = Arc::new(config.trusted_proxies.clone());
        let now = Timestamp::now();
        let serve = |files: Option<tls::Files>| -> Result<_, AppError> {
            Ok(files.map(|files| tls::Server::new(files, now)).transpose()?.map(Arc::new))
        };
        let mut listeners = Vec::new();
        for config::Listener { address, tls, cleartext, proxy_header } in config.listen.iter().cloned() {
            let proxies = match proxy_header {
                config::ProxyHeader::Absent => None,
                config::ProxyHeader::Required => Some(Arc::clone(&trusted)),
            };
            listeners.push(Listener { address, tls: serve(tls)?, cleartext, proxies });
        }
        let address = ListenAddress::Tcp(config.admin.address);
        let admin =
            Listener { address, tls: serve(config.admin.tls.clone())?, cleartext: Http2::Refused, proxies: None };
        listeners.iter().chain([&admin]).try_for_each(|listener| check_address(&listener.address))?;
        Ok(Self { public: listeners, admin })
    }

    /// Where clients connect.
    pub(super) fn addresses(&self) -> Vec<ListenAddress> {
        self.public.iter().chain([&self.admin]).map(|listener| listener.address.clone()).collect()
    }

    /// What their clients are greeted with, on TLS.
    pub(super) fn certificates(&self) -> impl Iterator<Item = Arc<dyn Renewable>> {
        let servers = self.public.iter().chain([&self.admin]).filter_map(|listener| listener.tls.as_ref());
        servers.map(|server| Arc::clone(server) as Arc<dyn Renewable>)
    }
}

/// Has a service listen at these addresses. A client may take as long as `send_timeout` for what it is sent.
pub(super) fn listen<A>(mut service: Service<A>, addresses: &[ListenAddress], send_timeout: Duration) -> Service<A> {
    for address in addresses {
        let config = match address {
            ListenAddress::Tcp(address) => {
                ListenerConfig::tcp(address.to_string()).tcp_socket_options(socket_options(send_timeout))
            }
            ListenAddress::Unix(path) => {
                ListenerConfig::uds(path.to_string_lossy()).permissions(fs::Permissions::from_mode(0o660))
            }
        };
        service.add_listener(config.l4_buffer(L4BufferSettings::new(NO_BUFFER, NO_BUFFER)));
    }
    service
}

/// pingora's timeout covers the parts of a reply's body, not what ends it; the system's covers whatever a client does not
/// take, and notices one that is gone without a word.
fn socket_options(send_timeout: Duration) -> TcpSocketOptions {
    let mut options = TcpSocketOptions::default();
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(10),
        count: 3,
        #[cfg(target_os = "linux")]
        user_timeout: send_timeout,
    });
    options
}

/// pingora would retry for half a minute and then go on without the listener; better to know now.
fn check_address(address: &ListenAddress) -> Result<(), AppError> {
    let bound = match address {
        ListenAddress::Tcp(address) => TcpListener::bind(address).map(drop),
        ListenAddress::Unix(path) => check_socket(path),
    };
    bound.map_err(|error| AppError::Listen { address: address.to_string(), error })
}

/// A socket that nobody listens on any more is removed; anything else that stands there is not ours to touch.
fn check_socket(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => Err(Error::new(ErrorKind::AlreadyExists, "it is no socket")),
        Ok(_) if UnixStream::connect(path).is_ok() => Err(Error::from(ErrorKind::AddrInUse)),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Knocks at every listener until it answers, then says that the gateway is ready.
pub(super) fn announce_when_served(
    addresses: Vec<ListenAddress>,
    ready: Arc<AtomicBool>,
    announce: impl FnOnce() + Send + 'static,
) -> Result<(), AppError> {
    let knock = |address: &ListenAddress| match address {
        ListenAddress::Tcp(address) => TcpStream::connect_timeout(address, Duration::from_secs(1)).is_ok(),
        ListenAddress::Unix(path) => UnixStream::connect(path).is_ok(),
    };
    let wait = move || {
        for address in &addresses {
            while !knock(address) {
                thread::sleep(Duration::from_millis(5));
            }
        }
        ready.store(true, Ordering::Release);
        announce();
    };
    thread::Builder::new().name("ready".to_owned()).spawn(wait)?;
    Ok(())
}

/// The gate and pingora read into buffers of their own, and a client's end of a connection has one for what it sends: a
/// buffer of the socket would be there while the connection is idle as well.
const NO_BUFFER: usize = 0;
