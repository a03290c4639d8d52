//! Our own endpoints: from a session to a request value, and from a reply value back.

use bytes::Bytes;
use http::Response;
use pingora::{Result, proxy::Session};

use super::{
    Gateway,
    admit::{Refusal, is_form},
    body::{self, Preread},
    context::RequestContext,
};
use crate::{
    domain::Reason,
    issuer::{ClientRequest, Endpoint, MAX_FORM, Reply, form_too_large},
    policy::RequestTarget,
    telemetry::{Decision, Limit},
    token::names_token,
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
            Endpoint::Revoke => self.revoke(session, ctx).await?,
            Endpoint::Introspect => self.introspect(session, ctx).await?,
            Endpoint::UserInfo => self.user_info(session, ctx).await?,
            Endpoint::KeySet => self.issuer.key_set().response,
            Endpoint::ServerMetadata => self.issuer.server_metadata().response,
            Endpoint::ResourceMetadata => self.issuer.resource_metadata().response,
        })
    }

    async fn token(&self, session: &mut Session, ctx: &RequestContext) -> Result<Response<Bytes>> {
        let reply = match body::read(session, MAX_FORM).await? {
            Preread::TooLarge => form_too_large(),
            Preread::Whole(form) => self.issuer.token(&client_request(session, &form, ctx)).await,
        };
        if let Some(result) = reply.result {
            self.metrics.count_token_request(result);
        }
        if let Some(scope) = reply.issued.as_deref() {
            self.metrics.count_issued(scope);
        }
        Ok(self.to_client(reply))
    }

    async fn revoke(&self, session: &mut Session, ctx: &RequestContext) -> Result<Response<Bytes>> {
        let reply = match body::read(session, MAX_FORM).await? {
            Preread::TooLarge => form_too_large(),
            Preread::Whole(form) => {
                self.issuer.revoke(&client_request(session, &form, ctx), &self.trust, &*self.revoker).await
            }
        };
        Ok(self.to_client(reply))
    }

    async fn introspect(&self, session: &mut Session, ctx: &RequestContext) -> Result<Response<Bytes>> {
        let reply = match body::read(session, MAX_FORM).await? {
            Preread::TooLarge => form_too_large(),
            Preread::Whole(form) => self.issuer.introspect(&client_request(session, &form, ctx), &self.trust).await,
        };
        Ok(self.to_client(reply))
    }

    /// The reply of an endpoint that clients authenticate at; they are limited there.
    fn to_client(&self, reply: Reply) -> Response<Bytes> {
        if let Some(limit) = reply.limit {
            self.metrics.count_limited(Limit::Token(limit));
        }
        reply.response
    }

    async fn user_info(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Response<Bytes>> {
        let asked = match self.principal(&session.req_header().headers, query(session), ctx).await {
            Ok(principal) => check_form(session).await?.map(|()| principal),
            Err(reason) => Err(reason),
        };
        Ok(match asked {
            Ok(principal) => self.issuer.user_info(&principal).response,
            Err(reason) => {
                ctx.decision = Decision::Refused(reason);
                self.refuse(&Refusal::from(reason), ctx)
            }
        })
    }
}

/// A form beside a bearer token must not hold a second one, as on a route (RFC 6750 section 2).
async fn check_form(session: &mut Session) -> Result<Result<(), Reason>> {
    if !is_form(session.req_header()) {
        return Ok(Ok(()));
    }
    Ok(match body::read(session, MAX_FORM).await? {
        Preread::TooLarge => Err(Reason::BodyTooLarge),
        Preread::Whole(form) if names_token(&String::from_utf8_lossy(&form)) => Err(Reason::InvalidRequest),
        Preread::Whole(_) => Ok(()),
    })
}

fn client_request<'a>(session: &'a Session, form: &'a [u8], ctx: &RequestContext) -> ClientRequest<'a> {
    ClientRequest {
        query: query(session),
        headers: &session.req_header().headers,
        form,
        address: super::headers::client_address(session),
        now: ctx.now(),
        instant: ctx.started(),
    }
}

/// The query of a target that was parsed before.
fn query(session: &Session) -> Option<&str> {
    RequestTarget::parse(session.req_header().raw_path()).ok().and_then(|target| target.query())
}
