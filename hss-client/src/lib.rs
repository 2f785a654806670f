//! Cx towards the HSS: dictionary, commands, user data, client (TS 29.228, TS 29.229)
