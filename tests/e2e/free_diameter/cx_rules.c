/* The grammar of Cx (TS 29.229 6.1) for freeDiameter, which has only its AVPs: an agent that loads this says of each
 * message that it forwards what is wrong with it, by its own parser. */

#include <freeDiameter/extension.h>

#define CX 16777216
#define VENDOR_3GPP 10415

/* How often an AVP stands in a command: -1 as `max` is no limit. */
struct rule {
	const char *name;
	enum rule_position position;
	int min, max;
};

#define FIRST(name) { name, RULE_FIXED_HEAD, 1, 1 }
#define ONE(name) { name, RULE_REQUIRED, 1, 1 }
#define OPT(name) { name, RULE_OPTIONAL, 0, 1 }
#define ANY(name) { name, RULE_OPTIONAL, 0, -1 }
#define HEAD FIRST("Session-Id"), ONE("Vendor-Specific-Application-Id"), ONE("Auth-Session-State"), \
	ONE("Origin-Host"), ONE("Origin-Realm"), ANY("Supported-Features"), ANY("Proxy-Info"), ANY("Route-Record")
#define REQUEST HEAD, OPT("Destination-Host"), ONE("Destination-Realm")
#define PUSH HEAD, ONE("Destination-Host"), ONE("Destination-Realm")
#define ANSWER HEAD, OPT("Result-Code"), OPT("Experimental-Result")
#define END { NULL, RULE_OPTIONAL, 0, 0 }

struct command {
	command_code_t code;
	const char *name;
	int is_request;
	const struct rule *rules;
};

static const struct rule uar[] = { REQUEST, ONE("User-Name"), ONE("Public-Identity"),
	ONE("Visited-Network-Identifier"), OPT("User-Authorization-Type"), END };
static const struct rule uaa[] = { ANSWER, OPT("Server-Name"), OPT("Server-Capabilities"), END };
static const struct rule sar[] = { REQUEST, OPT("User-Name"), ANY("Public-Identity"), ONE("Server-Name"),
	ONE("Server-Assignment-Type"), ONE("User-Data-Already-Available"), END };
static const struct rule saa[] = { ANSWER, OPT("User-Name"), OPT("User-Data"), OPT("Charging-Information"), END };
static const struct rule lir[] = { REQUEST, OPT("Originating-Request"), ONE("Public-Identity"), END };
static const struct rule lia[] = { ANSWER, OPT("Server-Name"), OPT("Server-Capabilities"), END };
static const struct rule mar[] = { REQUEST, ONE("User-Name"), ONE("Public-Identity"), ONE("SIP-Auth-Data-Item"),
	ONE("SIP-Number-Auth-Items"), ONE("Server-Name"), END };
static const struct rule maa[] = { ANSWER, OPT("User-Name"), OPT("Public-Identity"), OPT("SIP-Number-Auth-Items"),
	ANY("SIP-Auth-Data-Item"), END };
static const struct rule rtr[] = { PUSH, ONE("User-Name"), ANY("Public-Identity"), ONE("Deregistration-Reason"), END };
static const struct rule rta[] = { ANSWER, END };
static const struct rule ppr[] = { PUSH, ONE("User-Name"), OPT("User-Data"), OPT("Charging-Information"),
	OPT("SIP-Auth-Data-Item"), END };
static const struct rule ppa[] = { ANSWER, END };

static const struct command commands[] = {
	{ 300, "User-Authorization-Request", 1, uar }, { 300, "User-Authorization-Answer", 0, uaa },
	{ 301, "Server-Assignment-Request", 1, sar }, { 301, "Server-Assignment-Answer", 0, saa },
	{ 302, "Location-Info-Request", 1, lir }, { 302, "Location-Info-Answer", 0, lia },
	{ 303, "Multimedia-Auth-Request", 1, mar }, { 303, "Multimedia-Auth-Answer", 0, maa },
	{ 304, "Registration-Termination-Request", 1, rtr }, { 304, "Registration-Termination-Answer", 0, rta },
	{ 305, "Push-Profile-Request", 1, ppr }, { 305, "Push-Profile-Answer", 0, ppa },
};

/* An AVP by its name: of the base protocol, else of 3GPP. */
static struct dict_object *avp(struct dictionary *dict, const char *name)
{
	struct dict_object *found = NULL;
	struct dict_avp_request_ex request;

	if (fd_dict_search(dict, DICT_AVP, AVP_BY_NAME, name, &found, 0) == 0 && found)
		return found;
	memset(&request, 0, sizeof(request));
	request.avp_vendor.vendor_id = VENDOR_3GPP;
	request.avp_data.avp_name = (char *)name;
	CHECK_FCT_DO(fd_dict_search(dict, DICT_AVP, AVP_BY_STRUCT, &request, &found, ENOENT), return NULL);
	return found;
}

static int add_command(struct dictionary *dict, struct dict_object *application, const struct command *command)
{
	struct dict_object *object;
	const struct rule *rule;
	struct dict_cmd_data data = {
		.cmd_code = command->code,
		.cmd_name = (char *)command->name,
		.cmd_flag_mask = CMD_FLAG_REQUEST | CMD_FLAG_PROXIABLE,
		.cmd_flag_val = (command->is_request ? CMD_FLAG_REQUEST : 0) | CMD_FLAG_PROXIABLE,
	};

	CHECK_FCT(fd_dict_new(dict, DICT_COMMAND, &data, application, &object));
	for (rule = command->rules; rule->name; rule++) {
		struct dict_rule_data of_avp = {
			.rule_avp = avp(dict, rule->name),
			.rule_position = rule->position,
			.rule_order = rule->position == RULE_FIXED_HEAD ? 1 : 0,
			.rule_min = rule->min,
			.rule_max = rule->max,
		};
		if (!of_avp.rule_avp)
			return ENOENT;
		CHECK_FCT(fd_dict_new(dict, DICT_RULE, &of_avp, object, NULL));
	}
	return 0;
}

/* Reads a message that is forwarded, and complains when it breaks a rule. */
static int check(void *unused, struct msg **msg)
{
	struct fd_pei error;
	struct msg_hdr *header = NULL;

	memset(&error, 0, sizeof(error));
	CHECK_FCT(fd_msg_hdr(*msg, &header));
	if (fd_msg_parse_rules(*msg, fd_g_config->cnf_dict, &error) == 0)
		fd_log_notice("GRAMMAR holds: %u %c", header->msg_code, header->msg_flags & CMD_FLAG_REQUEST ? 'R' : 'A');
	else
		fd_log_error("GRAMMAR broken: %u %s %s", header->msg_code, error.pei_errcode ?: "", error.pei_message ?: "");
	return 0;
}

static int cx_rules(char *conffile)
{
	struct dictionary *dict = fd_g_config->cnf_dict;
	struct dict_object *application;
	struct dict_application_data cx = { CX, "3GPP Cx" };
	struct fd_rt_fwd_hdl *handler;
	size_t i;

	CHECK_FCT(fd_dict_new(dict, DICT_APPLICATION, &cx, NULL, &application));
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		CHECK_FCT(add_command(dict, application, &commands[i]));
	return fd_rt_fwd_register(check, NULL, RT_FWD_ALL, &handler);
}

EXTENSION_ENTRY("cx_rules", cx_rules, "dict_dcca_3gpp");
