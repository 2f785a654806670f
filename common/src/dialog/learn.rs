//! Table: what requests and responses tell of dialogs (RFC 3261 12.1, 12.2; RFC 4028; RFC 6665 4.4.1).

use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

use crate::sip::{Contacts, HeaderName, Message, Method, NameAddr, Request, Response, StatusCode};

use super::record::{Dialog, PartyTexts, joined, route_of, target_of, unfolded};
use super::{Beginning, DialogKey, DialogState, DialogTable, Setup, SetupKey, Side, TableFull};

/// What a subscription may outlive its expiry by: 64*T1, in which the last NOTIFY may come (RFC 6665 4.1.2).
const SUBSCRIPTION_GRACE: Duration = Duration::from_secs(32);
/// What a REFER starts lasts so long unless a NOTIFY says otherwise (RFC 3515 2.4.4 leaves it to the notifier).
const REFER_SECS: u32 = 600;
/// RFC 4028 4: no session timer is shorter.
const SESSION_MIN: Duration = Duration::from_secs(90);

impl<O: Clone + Eq + Hash> DialogTable<O> {
    /// Notes a request that may make dialogs: INVITE, SUBSCRIBE, REFER without a tag in To.
    ///
    /// # Errors
    /// When there is no place.
    pub fn begin(&mut self, beginning: Beginning<'_, O>) -> Result<SetupKey, TableFull> {
        self.begin_below(self.limits.dialogs_max, beginning)
    }

    /// As [`DialogTable::begin`], for an emergency call: there are some places more.
    ///
    /// # Errors
    /// When there is none of them either.
    pub fn begin_emergency(&mut self, beginning: Beginning<'_, O>) -> Result<SetupKey, TableFull> {
        let spare = self.limits.dialogs_max / 8 + 1;
        self.begin_below(self.limits.dialogs_max.saturating_add(spare), beginning)
    }

    fn begin_below(&mut self, limit: usize, beginning: Beginning<'_, O>) -> Result<SetupKey, TableFull> {
        if self.dialogs.len() >= limit || self.setups.len() >= limit {
            return Err(TableFull);
        }
        let request = beginning.request;
        self.last += 1;
        let key = SetupKey(self.last);
        if request.method() != Method::Invite {
            let hash = self.hash_of_setup(request);
            self.subscriptions.insert(hash, key);
        }
        let setup = Setup {
            record_routes: request.values(HeaderName::RecordRoute).count() + beginning.own_record_routes,
            owner: beginning.owner,
            caller: beginning.caller,
            request: request.clone(),
            icid: beginning.icid.into(),
            dialogs: Default::default(),
        };
        self.setups.insert(key, setup);
        Ok(key)
    }

    /// The transaction of a setup has ended: what is still early goes. Confirmed dialogs stay.
    pub fn end(&mut self, setup: SetupKey) {
        let Some(ended) = self.setups.remove(&setup) else {
            return;
        };
        crate::node::give_back(&mut self.setups);
        let hash = self.hash_of_setup(&ended.request);
        if self.subscriptions.get(&hash) == Some(&setup) {
            self.subscriptions.remove(&hash);
            crate::node::give_back(&mut self.subscriptions);
        }
        for (_, key) in ended.dialogs {
            if self.state(key) == Some(DialogState::Early) {
                self.remove(key);
            }
        }
    }

    /// Learns from a response to the request of a setup, with the Record-Route values as they came from downstream. Says
    /// which dialog it speaks of. A final response other than 2xx ends the setup; after a 2xx the node says when.
    pub fn on_response(&mut self, now: Instant, setup: SetupKey, response: &Response) -> Option<DialogKey> {
        let status = response.status();
        if status.is_final() && !status.is_success() {
            self.end(setup);
            return None;
        }
        let tag = response.to().ok()?.tag()?.to_vec();
        if status == StatusCode::TRYING {
            return None;
        }
        let known = self.dialog_of_setup(setup, &tag);
        if status.as_u16() == 199 {
            // RFC 6228: this branch has failed.
            if let Some(key) = known.filter(|key| self.state(*key) == Some(DialogState::Early)) {
                self.remove(key);
            }
            return None;
        }
        let key = match known {
            Some(key) if !self.dialogs.contains_key(&key) => return None,
            Some(key) => self.learn_again(key, setup, response),
            None => {
                let made = self.dialog_made_by(setup, response)?;
                self.keep(now, setup, made)?
            }
        };
        if status.is_success() {
            self.on_success(now, key, setup, response);
        }
        Some(key)
    }

    /// A NOTIFY that comes before the 2xx of its SUBSCRIBE or REFER makes the dialog (RFC 6665 4.4.1). Its sender is
    /// the party that was called.
    pub fn adopt_notify(&mut self, now: Instant, from: Side, notify: &Request) -> Option<DialogKey> {
        let to = notify.to().ok()?;
        let hash = self.hash_of(notify.call_id()?, to.tag()?, b"");
        let setup = *self.subscriptions.get(&hash)?;
        let state = self.setups.get(&setup)?;
        let is_meant = state.caller != from
            && state.request.call_id() == notify.call_id()
            && tag_of(&state.request.from().ok()?) == tag_of(&to);
        if notify.method() != Method::Notify || !is_meant {
            return None;
        }
        let callee = PartyTexts {
            address: line_of(notify, HeaderName::From),
            target: contact_of(notify)?,
            route: Vec::new(),
        };
        let made = self.dialog_between(setup, &callee)?;
        let key = self.keep(now, setup, made)?;
        if let Some(dialog) = self.dialogs.get_mut(&key) {
            dialog.state = DialogState::Confirmed;
            dialog.subscriptions = 1;
        }
        Some(key)
    }

    /// A request in a dialog was sent on.
    pub fn on_request(&mut self, now: Instant, key: DialogKey, from: Side, request: &Request) {
        let idle_end = now + self.limits.idle_max;
        let Some(dialog) = self.dialogs.get_mut(&key) else {
            return;
        };
        if let Ok(cseq) = request.cseq() {
            dialog.set_cseq(from, cseq.number);
        }
        if !dialog.has_deadline {
            self.expiries.set(key, idle_end);
        }
    }

    /// The final response to a request in a dialog came, or will not come (`None`).
    pub fn on_answer(
        &mut self,
        now: Instant,
        key: DialogKey,
        from: Side,
        request: &Request,
        response: Option<&Response>,
    ) {
        let status = response.map(Response::status);
        match request.method() {
            // RFC 3261 15.1.1: "the UAC MUST consider the session terminated"; but for a challenge, after which it comes
            // again.
            Method::Bye if !status.is_some_and(is_challenge) => self.session_ended(now, key),
            Method::Invite | Method::Update | Method::Subscribe | Method::Refer | Method::Notify => {
                if let Some(response) = response.filter(|response| response.status().is_success()) {
                    self.refresh_target(key, from, request);
                    self.refresh_target(key, from.other(), response);
                    self.on_agreed(now, key, request, response);
                } else if request.method() == Method::Notify
                    && status == Some(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST)
                {
                    self.subscription_ended(key);
                }
            }
            _ => {}
        }
    }

    fn on_agreed(&mut self, now: Instant, key: DialogKey, request: &Request, response: &Response) {
        match request.method() {
            Method::Invite | Method::Update => self.session_timer(now, key, response),
            Method::Subscribe => {
                if let Some(secs) = response.expires() {
                    self.subscription_until(now, key, secs);
                }
            }
            Method::Refer => {
                if let Some(dialog) = self.dialogs.get_mut(&key) {
                    dialog.subscriptions = dialog.subscriptions.saturating_add(1);
                }
            }
            Method::Notify => self.notified(now, key, request),
            _ => {}
        }
    }

    /// RFC 6665 4.1.3: what a NOTIFY says about its subscription.
    fn notified(&mut self, now: Instant, key: DialogKey, notify: &Request) {
        let Some(state) = notify.header(HeaderName::SubscriptionState) else {
            return;
        };
        let (name, expires) = subscription_state(state);
        if name.eq_ignore_ascii_case(b"terminated") {
            self.subscription_ended(key);
        } else if let Some(secs) = expires {
            self.subscription_until(now, key, secs);
        }
    }

    fn subscription_until(&mut self, now: Instant, key: DialogKey, secs: u32) {
        let Some(dialog) = self.dialogs.get_mut(&key) else {
            return;
        };
        // A session in the same dialog has its own end.
        if dialog.session {
            dialog.subscriptions = dialog.subscriptions.max(1);
            return;
        }
        dialog.has_deadline = true;
        let left = Duration::from_secs(u64::from(secs)) + SUBSCRIPTION_GRACE;
        self.expiries.set(key, now + left.min(self.limits.idle_max));
    }

    fn subscription_ended(&mut self, key: DialogKey) {
        if let Some(dialog) = self.dialogs.get_mut(&key) {
            dialog.subscriptions = dialog.subscriptions.saturating_sub(1);
        }
        self.forget_if_over(key);
    }

    /// A transfer goes on after the BYE: what a REFER started still notifies (RFC 5057 5.2).
    fn session_ended(&mut self, now: Instant, key: DialogKey) {
        if let Some(dialog) = self.dialogs.get_mut(&key) {
            dialog.session = false;
            self.subscription_until(now, key, REFER_SECS);
        }
        self.forget_if_over(key);
    }

    fn forget_if_over(&mut self, key: DialogKey) {
        let is_over = |dialog: &Dialog<O>| !dialog.session && dialog.subscriptions == 0;
        if self.dialogs.get(&key).is_some_and(is_over) {
            self.remove(key);
        }
    }

    /// RFC 4028 9, 10: Session-Expires of a 2xx starts the timer anew; a 2xx without it ends its use.
    fn session_timer(&mut self, now: Instant, key: DialogKey, response: &Response) {
        let interval = response.header(HeaderName::SessionExpires).and_then(leading_secs);
        let Some(dialog) = self.dialogs.get_mut(&key) else {
            return;
        };
        dialog.has_deadline = interval.is_some();
        let left = interval.map_or(self.limits.idle_max, |interval| interval.max(SESSION_MIN));
        self.expiries.set(key, now + left);
    }

    fn refresh_target(&mut self, key: DialogKey, side: Side, message: &Message) {
        if let (Some(target), Some(dialog)) = (contact_of(message), self.dialogs.get_mut(&key)) {
            dialog.set(target_of(side), &target);
        }
    }

    fn on_success(&mut self, now: Instant, key: DialogKey, setup: SetupKey, response: &Response) {
        let Some(method) = self.setups.get(&setup).map(|setup| setup.request.method()) else {
            return;
        };
        let Some(dialog) = self.dialogs.get_mut(&key) else {
            return;
        };
        dialog.state = DialogState::Confirmed;
        match method {
            Method::Invite => {
                dialog.session = true;
                self.session_timer(now, key, response);
            }
            method => {
                dialog.subscriptions = 1;
                let secs = match method {
                    Method::Subscribe => response.expires(),
                    _ => Some(REFER_SECS),
                };
                if let Some(secs) = secs {
                    self.subscription_until(now, key, secs);
                }
            }
        }
    }

    fn dialog_of_setup(&self, setup: SetupKey, callee_tag: &[u8]) -> Option<DialogKey> {
        let wanted = self.hasher.hash_one(callee_tag);
        let made = &self.setups.get(&setup)?.dialogs;
        made.iter().find(|(tag, _)| *tag == wanted).map(|(_, key)| *key)
    }

    /// RFC 3261 12.1.2: Record-Route and Contact of the response, seen from here.
    fn dialog_made_by(&self, key: SetupKey, response: &Response) -> Option<Dialog<O>> {
        let setup = self.setups.get(&key)?;
        let callee = PartyTexts {
            address: line_of(response, HeaderName::To),
            target: contact_of(response).unwrap_or_else(|| setup.request.request_uri_bytes().to_vec()),
            route: route_downstream(response, setup.record_routes),
        };
        self.dialog_between(key, &callee)
    }

    fn dialog_between(&self, key: SetupKey, callee: &PartyTexts) -> Option<Dialog<O>> {
        let setup = self.setups.get(&key)?;
        let request = &setup.request;
        let caller = PartyTexts {
            address: line_of(request, HeaderName::From),
            target: contact_of(request).unwrap_or_default(),
            route: joined(request.values(HeaderName::RecordRoute)),
        };
        let (of_owner, of_peer) = match setup.caller {
            Side::Owner => (&caller, callee),
            Side::Peer => (callee, &caller),
        };
        let mut dialog = Dialog::new(
            setup.owner.clone(),
            request.call_id()?,
            of_owner,
            of_peer,
            &setup.icid,
        );
        dialog.caller = setup.caller;
        dialog.set_cseq(setup.caller, request.cseq().ok()?.number);
        Some(dialog)
    }

    /// RFC 3261 13.2.2.4: the route set and target of an early dialog are those of its latest response, in the end of
    /// the 2xx.
    fn learn_again(&mut self, key: DialogKey, setup: SetupKey, response: &Response) -> DialogKey {
        let is_late = response.status().is_provisional() && self.state(key) == Some(DialogState::Confirmed);
        let Some(setup) = self.setups.get(&setup).filter(|_| !is_late) else {
            return key;
        };
        let callee = setup.caller.other();
        let route = route_downstream(response, setup.record_routes);
        let Some(dialog) = self.dialogs.get_mut(&key) else {
            return key;
        };
        if let Some(target) = contact_of(response) {
            dialog.set(target_of(callee), &target);
        }
        // "Record-Route in a provisional response" is there in reliable ones only (RFC 3262 4).
        if response.status().is_success() || !route.is_empty() {
            dialog.set(route_of(callee), &route);
        }
        key
    }

    fn keep(&mut self, now: Instant, setup: SetupKey, made: Dialog<O>) -> Option<DialogKey> {
        let dialogs = self.setups.get(&setup).map_or(0, |setup| setup.dialogs.len());
        // Whoever was let in is let through.
        if dialogs >= self.limits.forks_max || self.dialogs.len() >= self.limits.dialogs_max.saturating_mul(2)
        {
            return None;
        }
        let callee = self.setups.get(&setup)?.caller.other();
        let tag = self.hasher.hash_one(made.tag(callee));
        let key = self.insert(now, made);
        self.setups.get_mut(&setup)?.dialogs.push((tag, key));
        Some(key)
    }

    fn hash_of_setup(&self, request: &Request) -> u64 {
        let from = request.from().ok();
        let tag = from.as_ref().map(tag_of).unwrap_or_default();
        self.hash_of(request.call_id().unwrap_or_default(), tag, b"")
    }
}

/// The way from here to the callee: what was recorded below us, nearest first. `recorded_above` values are ours and those
/// above us.
fn route_downstream(response: &Response, recorded_above: usize) -> Vec<u8> {
    let recorded: Vec<&[u8]> = response.values(HeaderName::RecordRoute).collect();
    let below = recorded.len().saturating_sub(recorded_above);
    joined(recorded.iter().take(below).rev().copied())
}

fn tag_of<'a>(address: &NameAddr<'a>) -> &'a [u8] {
    address.tag().unwrap_or_default()
}

fn line_of(message: &Message, name: HeaderName) -> Vec<u8> {
    message
        .header(name)
        .map(|value| unfolded(value).collect())
        .unwrap_or_default()
}

/// The URI of the Contact, as the party wrote it.
fn contact_of(message: &Message) -> Option<Vec<u8>> {
    match message.contacts().ok()? {
        Contacts::List(list) => list.first().map(|contact| contact.uri.as_bytes().to_vec()),
        Contacts::None | Contacts::Star => None,
    }
}

fn is_challenge(status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED || status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
}

/// `delta-seconds` before any parameter.
fn leading_secs(value: &[u8]) -> Option<Duration> {
    let digits = value.split(|byte| *byte == b';').next()?.trim_ascii();
    let secs: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(Duration::from_secs(u64::from(secs)))
}

fn subscription_state(value: &[u8]) -> (&[u8], Option<u32>) {
    let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().unwrap_or_default();
    let expires = parts.find_map(|part| {
        let (key, value) = part.split_at_checked(part.iter().position(|byte| *byte == b'=')?)?;
        let is_expires = key.trim_ascii().eq_ignore_ascii_case(b"expires");
        let digits = std::str::from_utf8(value.get(1..)?).ok()?;
        is_expires.then(|| digits.trim().parse().ok())?
    });
    (name, expires)
}
