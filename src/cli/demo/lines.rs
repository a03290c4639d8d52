use super::DemoArgs;

/// The tour: lines that can be pasted one after the other.
pub(super) fn lines(args: &DemoArgs, id: &str, secret: &str) -> String {
    TOUR.replace("{gateway}", &format!("http://{}", args.listen))
        .replace("{admin}", &format!("http://{}", args.admin))
        .replace("{id}", id)
        .replace("{secret}", secret)
}

const TOUR: &str = r#"
scopegate demo: gateway on {gateway}, metrics on {admin}, a sample Applications API behind it.
Paste these lines into another terminal, one after the other. Each request's log line appears here.

# 1. An access token for the API credentials made at start
TOKEN=$(curl -s {gateway}/v1/oauth2/token -u {id}:{secret} -d grant_type=client_credentials | sed 's/.*"access_token":"\([^"]*\)".*/\1/'); echo "$TOKEN"

# 2. Who owns it
curl -s {gateway}/oauth2/userinfo -H "Authorization: Bearer $TOKEN"; echo

# 3. Create an application. The API answers with its data, the gateway adds a session token for it
CREATED=$(curl -s {gateway}/v1/applications.create -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"workflowId":"bits:workflow::7d444840-9dc0-41d1-9f2c-5ffdce740ad1","countryCode":"SE","redirectUrl":"https://example.com/done"}'); echo "$CREATED"
APP=$(echo "$CREATED" | sed 's/.*"id":"\([^"]*\)".*/\1/')

# 4. Read it: `application` covers `application.read`
curl -s {gateway}/v1/applications.get -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d "{\"applicationId\":\"$APP\"}"; echo

# 5. The session token, as a browser would hold it, reads its own application
SESSION=$(echo "$CREATED" | sed 's/.*"sessionToken":"\([^"]*\)".*/\1/')
curl -s {gateway}/v1/applications.get -H "Authorization: Bearer $SESSION" -H 'Content-Type: application/json' -d "{\"applicationId\":\"$APP\"}"; echo

# 6. Another application: 403, and the upstream never hears of it
curl -s -i {gateway}/v1/applications.get -H "Authorization: Bearer $SESSION" -H 'Content-Type: application/json' -d '{"applicationId":"bits:application::00000000-0000-4000-8000-000000000000"}'; echo

# 7. A new session token for it, an hour later
curl -s {gateway}/v1/oauth2/token -u {id}:{secret} -d grant_type=client_credentials -d scope=application.session -d "application_id=$APP" -d workflow_id=bits:workflow::7d444840-9dc0-41d1-9f2c-5ffdce740ad1 -d redirect_url=https://example.com/done; echo

# 8. A bad token: 401
curl -s -i {gateway}/oauth2/userinfo -H 'Authorization: Bearer not.a.token'; echo

# 9. What an operator sees
curl -s {admin}/metrics | grep ^scopegate_decisions_total

"#;
