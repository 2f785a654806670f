//! Testkit: why something failed, in one sentence, as an operator would read it.

mod calls;
mod manual;
mod network;

use ims_tests::site::Site;

fn site() -> Site {
    Site::on_network([192, 0, 2])
}
