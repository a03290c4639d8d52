//! The way of a revocation from a request's thread to the store's, and back.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    domain::{ClientId, Timestamp, TokenId},
    issuer::{Revoker, RevokerUnavailable},
    store::Actor,
};

/// A token to be revoked, and who waits for it.
pub(super) struct Order {
    pub(super) token: TokenId,
    pub(super) until: Timestamp,
    pub(super) actor: Actor,
    pub(super) done: oneshot::Sender<()>,
}

/// Both ends of the way.
pub(super) fn channel() -> (StoreRevoker, mpsc::Receiver<Order>) {
    let (orders, taken) = mpsc::channel(MOST_WAITING);
    (StoreRevoker { orders }, taken)
}

/// Asks the store's thread. An order that was given up may still be carried out, which does no harm.
pub(super) struct StoreRevoker {
    orders: mpsc::Sender<Order>,
}

#[async_trait]
impl Revoker for StoreRevoker {
    async fn revoke_token(
        &self,
        token: TokenId,
        until: Timestamp,
        client: &ClientId,
        address: IpAddr,
    ) -> Result<(), RevokerUnavailable> {
        let actor = Actor { name: format!("client:{client}"), origin: address.to_string() };
        let (done, answer) = oneshot::channel();
        self.orders.try_send(Order { token, until, actor, done }).map_err(|_| RevokerUnavailable)?;
        match timeout(PATIENCE, answer).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(RevokerUnavailable),
        }
    }
}

/// Revocations that may wait for the store.
const MOST_WAITING: usize = 256;

/// How long a client is kept waiting for one.
const PATIENCE: Duration = Duration::from_millis(1500);
