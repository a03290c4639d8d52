//! Our own endpoints: from a session to a request value, and from a reply value back.

use bytes::Bytes;
use http::Response;
use pingora::{Result, proxy::Session};

use super::{
    Gateway,
    admit::Refusal,
    body::{self, Preread},
    context::RequestContext,
};
use crate::{
    issuer::{Endpoint, MAX_FORM, Reply, TokenRequest, form_too_large},
    policy::RequestTarget,
    telemetry::Decision,
};

impl Gateway {
    /// Answers a request to one of our own endpoints. An error means that the client is gone.
    pub(super) async fn serve(
        &self,
        endpoint: Endpoint,
        session: &mut Session,
        ctx: &mut RequestContext,
    ) -> Result<Response<Bytes>> {
        Ok(match endpoint {
            Endpoint::Token => self.token(session, ctx).await?,
            Endpoint::UserInfo => self.user_info(session, ctx),
            Endpoint::KeySet => self.issuer.key_set().response,
            Endpoint::ServerMetadata => self.issuer.server_metadata().response,
            Endpoint::ResourceMetadata => self.issuer.resource_metadata().response,
        })
    }

    async fn token(&self, session: &mut Session, ctx: &RequestContext) -> Result<Response<Bytes>> {
        let reply = match body::read(session, MAX_FORM).await? {
            Preread::TooLarge => form_too_large(),
            Preread::Whole(form) => self.issuer.token(&TokenRequest {
                query: query(session),
                headers: &session.req_header().headers,
                form: &form,
                address: super::headers::client_address(session),
                now: ctx.now(),
                instant: ctx.started(),
            }),
        };
        let Reply { response, result, issued } = reply;
        if let Some(result) = result {
            self.metrics.count_token_request(result);
        }
        if let Some(scope) = issued {
            self.metrics.count_issued(&scope);
        }
        Ok(response)
    }

    fn user_info(&self, session: &Session, ctx: &mut RequestContext) -> Response<Bytes> {
        match self.principal(&session.req_header().headers, query(session), ctx) {
            Ok(principal) => self.issuer.user_info(&principal).response,
            Err(reason) => {
                ctx.decision = Decision::Refused(reason);
                self.refuse(&Refusal::from(reason), ctx)
            }
        }
    }
}

/// The query of a target that was parsed before.
fn query(session: &Session) -> Option<&str> {
    RequestTarget::parse(session.req_header().raw_path()).ok().and_then(|target| target.query())
}
