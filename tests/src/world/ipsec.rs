//! Testkit: the kernels of the virtual world and their nodes.

use std::net::SocketAddr;
use std::time::Duration;

use ims_common::ipsec::{SaSetId, XfrmInput, XfrmOutput};
use ims_common::net::NetInput;

use super::{NodeId, World};
use crate::kernel::Kernel;

impl World {
    /// The kernel of a node's host.
    #[must_use]
    pub fn kernel(&self, name: &str) -> &Kernel {
        &self.slots[self.id(name).0].kernel
    }

    /// The kernel of a node's host, to make it fail.
    pub fn kernel_mut(&mut self, name: &str) -> &mut Kernel {
        let id = self.id(name);
        &mut self.slots[id.0].kernel
    }

    /// States that are left anywhere, by node.
    #[must_use]
    pub fn states(&self) -> Vec<(String, usize)> {
        let states = self
            .slots
            .iter()
            .map(|slot| (slot.name.clone(), slot.kernel.states()));
        states.filter(|(_, count)| *count > 0).collect()
    }

    /// The ends of the connections that a node holds from its protected ports: its own and the other.
    #[must_use]
    pub fn protected_connections(&self, name: &str) -> Vec<(SocketAddr, SocketAddr)> {
        let id = self.id(name);
        let ends = self.wires.ends_of(id).into_iter();
        let paths = ends.filter_map(|end| self.wires.path_to(end));
        let ends = paths.map(|path| (path.destination, path.source));
        let kernel = &self.slots[id.0].kernel;
        ends.filter(|(own, _)| kernel.is_protected(*own)).collect()
    }

    /// Another program deletes the states of a set.
    pub fn delete_states(&mut self, name: &str, set: SaSetId) {
        let id = self.id(name);
        if let Some(input) = self.slots[id.0].kernel.delete_behind_its_back(set) {
            self.note(&format!("somebody deletes a set of {name}"));
            self.tell(id, Duration::from_millis(1), input);
        }
    }

    pub(super) fn ask_kernel(&mut self, id: NodeId, request: &XfrmOutput) {
        let now = self.now;
        if let Some((delay, answer)) = self.slots[id.0].kernel.ask(now, request) {
            self.tell(id, delay, answer);
        }
    }

    /// Lifetimes end in a kernel; whose.
    pub(super) fn expire(&mut self, id: NodeId) -> NodeId {
        let now = self.now;
        for input in self.slots[id.0].kernel.expire(now) {
            self.tell(id, Duration::from_millis(1), input);
        }
        id
    }

    fn tell(&mut self, id: NodeId, delay: Duration, input: XfrmInput) {
        self.news(delay, id, NetInput::Xfrm(input));
    }
}
