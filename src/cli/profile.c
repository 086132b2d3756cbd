/* What a painting or styler ran, node by node, for --verbose. */
#include "cli/profile.h"

#include <stdio.h>

#include "cli/report.h"

static void print_json(imp_cli_node_at at, const void *ran) {
    imp_node_profile node = {.size = sizeof node};
    fputs("{\"event\":\"profile\",\"nodes\":[", stdout);
    for (int i = 0; at(ran, i, &node) == IMP_OK; i++) {
        fputs(i ? ",{\"name\":" : "{\"name\":", stdout);
        imp_json_text(stdout, node.name);
        fputs(",\"kernel\":", stdout);
        imp_json_text(stdout, node.kernel);
        printf(",\"backward\":%s,\"calls\":%d,\"seconds\":", node.backward ? "true" : "false", node.calls);
        imp_json_number(stdout, node.seconds);
        fputs(",\"operations\":", stdout);
        imp_json_number(stdout, node.operations);
        putchar('}');
    }
    fputs("]}\n", stdout);
}

static void print_table(imp_cli_node_at at, const void *ran) {
    imp_node_profile node = {.size = sizeof node};
    double total = 0;
    for (int i = 0; at(ran, i, &node) == IMP_OK; i++) total += node.seconds;
    printf("%-24s %-9s %-32s %6s %9s %8s %6s\n", "node", "pass", "kernel", "calls", "ms/call", "GFLOP/s", "share");
    for (int i = 0; at(ran, i, &node) == IMP_OK; i++) {
        double call = node.calls > 0 ? 1e3 * node.seconds / node.calls : 0;
        double rate = node.seconds > 0 ? 1e-9 * node.operations / node.seconds : 0;
        printf("%-24s %-9s %-32s %6d %9.3f %8.1f %5.1f%%\n", node.name, node.backward ? "backward" : "forward",
               node.kernel, node.calls, call, rate, total > 0 ? 100 * node.seconds / total : 0);
    }
}

void imp_cli_print_profile(imp_cli_node_at at, const void *ran, bool json) {
    if (json)
        print_json(at, ran);
    else
        print_table(at, ran);
}
