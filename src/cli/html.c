/* Text and data inside HTML. */
#include "cli/html.h"

#include <string.h>

#include "cli/report.h"

void imp_cli_write_html(FILE *stream, const char *text) {
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        int length = imp_cli_utf8_length(at);
        if (length == 0 || (*at < ' ' && *at != '\n' && *at != '\t') || *at == 127) {
            fputs("&#xfffd;", stream);
            length = 1;
        } else if (strchr("<>&\"'", *at)) {
            fprintf(stream, "&#%d;", *at);
        } else {
            fwrite(at, 1, (size_t)length, stream);
        }
        at += length;
    }
}

void imp_cli_write_base64(FILE *stream, FILE *from) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char bytes[3];
    for (size_t got; (got = fread(bytes, 1, 3, from)) > 0;) {
        memset(bytes + got, 0, 3 - got);
        unsigned bits = (unsigned)bytes[0] << 16 | (unsigned)bytes[1] << 8 | bytes[2];
        for (size_t i = 0; i < 4; i++) putc(i <= got ? letters[bits >> (18 - 6 * i) & 63] : '=', stream);
    }
}
