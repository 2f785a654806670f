//! Engine: route pre- and post-processing with tolerance of strict routers (RFC 3261 16.4, 16.6 step 6).

use crate::sip::{HeaderName, NameAddr, Request, Uri, UriBuf};

/// A request after [`preprocess`].
#[derive(Clone, Debug)]
pub struct Routed {
    /// Without what was meant for us.
    pub request: Request,
    /// The Route value of ours that was on top, with its parameters, or our Record-Route value that a strict
    /// router had put into the Request-URI.
    pub own: Option<UriBuf>,
}

/// Removes what upstream put into the request to bring it to us (RFC 3261 16.4). `is_own` tells our URIs.
///
/// A node with two of its values in a row (double Record-Route) calls it twice.
#[must_use]
pub fn preprocess(request: &Request, is_own: impl Fn(&Uri<'_>) -> bool) -> Routed {
    let mut request = request.clone();
    let mut own = None;
    // "If the Request-URI of the request contains a value this proxy previously placed into a Record-Route header
    // field, the proxy MUST replace the Request-URI with the last value from the Route header field, and remove
    // that value". Our Record-Route values carry lr; a Request-URI that merely addresses us does not.
    if let Some((of_us, unstricted)) = undo_strict_router(&request, &is_own) {
        own = Some(of_us);
        request = unstricted;
    }
    // "If the first value in the Route header field indicates this proxy, the proxy MUST remove that value"
    let top = top_route(&request).filter(|uri| is_own(&uri.as_uri()));
    if let Some(top) = top {
        request = request.edit().pop_first_value(HeaderName::Route).finish_request();
        own = Some(top);
    }
    Routed { request, own }
}

fn undo_strict_router(request: &Request, is_own: &impl Fn(&Uri<'_>) -> bool) -> Option<(UriBuf, Request)> {
    let uri = request.request_uri().ok()?;
    uri.param("lr")?;
    is_own(&uri).then_some(())?;
    let mut routes: Vec<Vec<u8>> = request.values(HeaderName::Route).map(<[u8]>::to_vec).collect();
    let last = routes.pop()?;
    let target = NameAddr::parse(&last).ok()?;
    let of_us = UriBuf::from(uri);
    let target = String::from_utf8_lossy(target.uri.as_bytes()).into_owned();
    let request = request.edit().request_uri(&target).finish_request();
    Some((of_us, with_routes(&request, &routes)))
}

/// When the next hop is a strict router (no `lr` in the top Route), puts the Request-URI at the end of Route and
/// the top Route into the Request-URI (RFC 3261 16.6 step 6). Otherwise the request stays as it is.
#[must_use]
pub fn postprocess(request: Request) -> Request {
    let Some(top) = top_route(&request).filter(|top| top.as_uri().param("lr").is_none()) else {
        return request;
    };
    let mut routes: Vec<Vec<u8>> = request
        .values(HeaderName::Route)
        .skip(1)
        .map(<[u8]>::to_vec)
        .collect();
    routes.push([b"<", request.request_uri_bytes(), b">"].concat());
    let target = top.to_string();
    let request = request.edit().request_uri(&target).finish_request();
    with_routes(&request, &routes)
}

/// The URI of the next hop (RFC 3261 16.6 step 7): the top Route, else the Request-URI.
#[must_use]
pub fn next_hop(request: &Request) -> Option<UriBuf> {
    top_route(request).or_else(|| request.request_uri().ok().map(UriBuf::from))
}

/// The URI of the top Route value.
#[must_use]
pub fn top_route(request: &Request) -> Option<UriBuf> {
    let value = request.values(HeaderName::Route).next()?;
    NameAddr::parse(value).ok().map(|route| UriBuf::from(route.uri))
}

fn with_routes(request: &Request, routes: &[Vec<u8>]) -> Request {
    if routes.is_empty() {
        return request.edit().remove(HeaderName::Route).finish_request();
    }
    let value = String::from_utf8_lossy(&routes.join(&b", "[..])).into_owned();
    request.edit().set(HeaderName::Route, value).finish_request()
}
