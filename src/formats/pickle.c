/* The opcodes of pickle protocols 2 to 5 that build values, as a table. */
#include "formats/pickle.h"

#include <string.h>

static int fail_cut(imp_pickle *pickle) {
    if (pickle->end < pickle->length)
        return imp_fail(pickle->context, IMP_ERR_FORMAT, "its pickle is longer than the %zu bytes that are read",
                        IMP_PICKLE_LENGTH_LIMIT);
    return imp_fail(pickle->context, IMP_ERR_FORMAT,
                    "cut off in the middle of its pickle: it is half-downloaded or damaged, download it again");
}

static int fail_damaged(imp_pickle *pickle) {
    return imp_fail(pickle->context, IMP_ERR_FORMAT, "damaged: its pickle makes no sense at byte %zu",
                    pickle->position);
}

/* NULL, with the error set, past the end; every failure of it is IMP_ERR_FORMAT. */
static const uint8_t *take(imp_pickle *pickle, size_t length) {
    const uint8_t *bytes = pickle->bytes + pickle->position;

    if (pickle->end - pickle->position < length) {
        fail_cut(pickle);
        return NULL;
    }
    pickle->position += length;
    return bytes;
}

static int fail_too_many(imp_pickle *pickle) {
    return imp_fail(pickle->context, IMP_ERR_FORMAT, "its pickle makes more than the %zu objects that are read",
                    IMP_PICKLE_VALUE_LIMIT);
}

/* An unsigned little-endian number of 1 to 8 bytes. */
static int take_number(imp_pickle *pickle, int size, uint64_t *number) {
    const uint8_t *bytes = take(pickle, (size_t)size);

    *number = 0;
    if (!bytes) return IMP_ERR_FORMAT;
    for (int i = 0; i < size; i++) *number |= (uint64_t)bytes[i] << (8 * i);
    return IMP_OK;
}

int32_t imp_pickle_make(imp_pickle *pickle, imp_pickle_kind kind) {
    imp_pickle_value *value;

    if (pickle->value_count >= IMP_PICKLE_VALUE_LIMIT) {
        pickle->failure = fail_too_many(pickle);
        return -1;
    }
    pickle->failure = IMP_ERR_MEMORY;
    if (imp_tensors_grow(pickle->context, (void **)&pickle->values, sizeof *pickle->values, &pickle->value_room,
                         pickle->value_count) != IMP_OK)
        return -1;
    value = &pickle->values[pickle->value_count];
    *value = (imp_pickle_value){.kind = kind};
    if (kind >= IMP_PICKLE_TUPLE && kind <= IMP_PICKLE_DICT) value->as.list.first = value->as.list.last = -1;
    return (int32_t)pickle->value_count++;
}

int imp_pickle_append(imp_pickle *pickle, int32_t list, int32_t item) {
    imp_pickle_value *value = &pickle->values[list];
    int32_t cell = (int32_t)pickle->cell_count;

    if (pickle->cell_count >= IMP_PICKLE_CELL_LIMIT) return fail_too_many(pickle);
    if (imp_tensors_grow(pickle->context, (void **)&pickle->cells, sizeof *pickle->cells, &pickle->cell_room,
                         pickle->cell_count) != IMP_OK)
        return IMP_ERR_MEMORY;
    pickle->cells[pickle->cell_count++] = (imp_pickle_cell){item, -1};
    if (value->as.list.first < 0)
        value->as.list.first = cell;
    else
        pickle->cells[value->as.list.last].next = cell;
    value->as.list.last = cell;
    value->as.list.count++;
    return IMP_OK;
}

const imp_pickle_value *imp_pickle_item(const imp_pickle *pickle, int32_t cell) {
    return &pickle->values[pickle->cells[cell].value];
}

int imp_pickle_is_text(const imp_pickle_value *value, const char *text) {
    return value->kind == IMP_PICKLE_STRING && value->as.text.length == strlen(text) &&
           memcmp(value->as.text.bytes, text, value->as.text.length) == 0;
}

/* Everything that makes values passes its index through here: -1 stays a failure, with the status of what failed. */
static int push(imp_pickle *pickle, int32_t index) {
    if (index < 0) return pickle->failure;
    if (imp_tensors_grow(pickle->context, (void **)&pickle->stack, sizeof *pickle->stack, &pickle->stack_room,
                         pickle->stack_count) != IMP_OK)
        return IMP_ERR_MEMORY;
    pickle->stack[pickle->stack_count++] = index;
    return IMP_OK;
}

/* How many values lie above the topmost mark. */
static size_t height(const imp_pickle *pickle) {
    return pickle->stack_count - (pickle->mark_count ? pickle->marks[pickle->mark_count - 1] : 0);
}

/* The topmost value, or -1 with the error set, which is IMP_ERR_FORMAT. */
static int32_t pop(imp_pickle *pickle) {
    if (height(pickle) == 0) {
        fail_damaged(pickle);
        return -1;
    }
    return pickle->stack[--pickle->stack_count];
}

static int no_operation(imp_pickle *pickle, int skipped) {
    return take(pickle, (size_t)skipped) ? IMP_OK : IMP_ERR_FORMAT;
}

static int set_mark(imp_pickle *pickle, int unused) {
    (void)unused;
    if (imp_tensors_grow(pickle->context, (void **)&pickle->marks, sizeof *pickle->marks, &pickle->mark_room,
                         pickle->mark_count) != IMP_OK)
        return IMP_ERR_MEMORY;
    pickle->marks[pickle->mark_count++] = pickle->stack_count;
    return IMP_OK;
}

static int stop(imp_pickle *pickle, int unused) {
    (void)unused;
    if (pickle->stack_count != 1 || pickle->mark_count != 0) return fail_damaged(pickle);
    pickle->stopped = 1;
    return IMP_OK;
}

static int drop(imp_pickle *pickle, int unused) {
    (void)unused;
    return pop(pickle) < 0 ? IMP_ERR_FORMAT : IMP_OK;
}

static int drop_to_mark(imp_pickle *pickle, int unused) {
    (void)unused;
    if (pickle->mark_count == 0) return fail_damaged(pickle);
    pickle->stack_count = pickle->marks[--pickle->mark_count];
    return IMP_OK;
}

static int duplicate(imp_pickle *pickle, int unused) {
    (void)unused;
    if (height(pickle) == 0) return fail_damaged(pickle);
    return push(pickle, pickle->stack[pickle->stack_count - 1]);
}

static int push_empty(imp_pickle *pickle, int kind) {
    return push(pickle, imp_pickle_make(pickle, (imp_pickle_kind)kind));
}

static int push_integer(imp_pickle *pickle, imp_pickle_kind kind, int64_t integer) {
    int32_t index = imp_pickle_make(pickle, kind);

    if (index >= 0) pickle->values[index].as.integer = integer;
    return push(pickle, index);
}

static int push_bool(imp_pickle *pickle, int value) {
    return push_integer(pickle, IMP_PICKLE_BOOL, value);
}

static int push_small(imp_pickle *pickle, int size) {
    uint64_t number;
    int status = take_number(pickle, size, &number);

    if (status != IMP_OK) return status;
    return push_integer(pickle, IMP_PICKLE_INTEGER, size == 4 ? (int64_t)(int32_t)(uint32_t)number : (int64_t)number);
}

static int push_float(imp_pickle *pickle, int size) {
    return take(pickle, (size_t)size) ? push_empty(pickle, IMP_PICKLE_FLOAT) : IMP_ERR_FORMAT;
}

static int push_text(imp_pickle *pickle, imp_pickle_kind kind, int size) {
    uint64_t length;
    const uint8_t *bytes;
    int32_t index;
    int status = take_number(pickle, size, &length);

    if (status != IMP_OK) return status;
    if (length > pickle->end) return fail_cut(pickle);
    bytes = take(pickle, (size_t)length);
    if (!bytes) return IMP_ERR_FORMAT;
    index = imp_pickle_make(pickle, kind);
    if (index >= 0) {
        pickle->values[index].as.text.bytes = bytes;
        pickle->values[index].as.text.length = (size_t)length;
    }
    return push(pickle, index);
}

static int push_string(imp_pickle *pickle, int size) {
    return push_text(pickle, IMP_PICKLE_STRING, size);
}

static int push_bytes(imp_pickle *pickle, int size) {
    return push_text(pickle, IMP_PICKLE_BYTES, size);
}

/* Numbers of any length; those of up to 8 bytes become integers. */
static int push_long(imp_pickle *pickle, int size) {
    imp_pickle_value *value;
    uint64_t number = 0;
    size_t length;
    int status = push_text(pickle, IMP_PICKLE_LONG, size);

    if (status != IMP_OK) return status;
    value = &pickle->values[pickle->value_count - 1];
    length = value->as.text.length;
    if (length > sizeof number) return IMP_OK;
    for (size_t i = 0; i < length; i++) number |= (uint64_t)value->as.text.bytes[i] << (8 * i);
    if (length > 0 && length < sizeof number && (value->as.text.bytes[length - 1] & 0x80))
        number |= ~(uint64_t)0 << (8 * length);
    value->kind = IMP_PICKLE_INTEGER;
    value->as.integer = (int64_t)number;
    return IMP_OK;
}

/* The topmost count values become one. */
static int collect(imp_pickle *pickle, imp_pickle_kind kind, size_t count) {
    size_t first = pickle->stack_count - count;
    int32_t list = imp_pickle_make(pickle, kind);
    int status;

    if (list < 0) return pickle->failure;
    for (size_t i = first; i < pickle->stack_count; i++)
        if ((status = imp_pickle_append(pickle, list, pickle->stack[i])) != IMP_OK) return status;
    pickle->stack_count = first;
    return push(pickle, list);
}

static int collect_few(imp_pickle *pickle, int count) {
    if (height(pickle) < (size_t)count) return fail_damaged(pickle);
    return collect(pickle, IMP_PICKLE_TUPLE, (size_t)count);
}

static int collect_to_mark(imp_pickle *pickle, int kind) {
    size_t count = height(pickle);

    if (pickle->mark_count == 0 || (kind == IMP_PICKLE_DICT && count % 2 != 0)) return fail_damaged(pickle);
    pickle->mark_count--;
    return collect(pickle, (imp_pickle_kind)kind, count);
}

/* The topmost count values go to the container below them. */
static int append(imp_pickle *pickle, imp_pickle_kind kind, size_t count) {
    size_t first = pickle->stack_count - count;
    int32_t list;
    int status;

    if (height(pickle) < count + 1 || (kind == IMP_PICKLE_DICT && count % 2 != 0)) return fail_damaged(pickle);
    list = pickle->stack[first - 1];
    if (pickle->values[list].kind != kind) return fail_damaged(pickle);
    for (size_t i = first; i < pickle->stack_count; i++)
        if ((status = imp_pickle_append(pickle, list, pickle->stack[i])) != IMP_OK) return status;
    pickle->stack_count = first;
    return IMP_OK;
}

static int append_one(imp_pickle *pickle, int kind) {
    return append(pickle, (imp_pickle_kind)kind, kind == IMP_PICKLE_DICT ? 2 : 1);
}

static int append_to_mark(imp_pickle *pickle, int kind) {
    size_t count = height(pickle);

    if (pickle->mark_count == 0) return fail_damaged(pickle);
    pickle->mark_count--;
    return append(pickle, (imp_pickle_kind)kind, count);
}

static int remember(imp_pickle *pickle, uint64_t place) {
    if (height(pickle) == 0) return fail_damaged(pickle);
    if (place >= IMP_PICKLE_VALUE_LIMIT) return fail_too_many(pickle);
    while (pickle->memo_count <= place) {
        if (imp_tensors_grow(pickle->context, (void **)&pickle->memo, sizeof *pickle->memo, &pickle->memo_room,
                             pickle->memo_count) != IMP_OK)
            return IMP_ERR_MEMORY;
        pickle->memo[pickle->memo_count++] = -1;
    }
    pickle->memo[place] = pickle->stack[pickle->stack_count - 1];
    return IMP_OK;
}

static int put(imp_pickle *pickle, int size) {
    uint64_t place;
    int status = take_number(pickle, size, &place);
    return status == IMP_OK ? remember(pickle, place) : status;
}

static int memoize(imp_pickle *pickle, int unused) {
    (void)unused;
    return remember(pickle, pickle->memo_count);
}

static int get(imp_pickle *pickle, int size) {
    uint64_t place;
    int status = take_number(pickle, size, &place);

    if (status != IMP_OK) return status;
    if (place >= pickle->memo_count || pickle->memo[place] < 0) return fail_damaged(pickle);
    return push(pickle, pickle->memo[place]);
}

static int take_line(imp_pickle *pickle, const uint8_t **line, size_t *length) {
    const uint8_t *end;

    *line = pickle->bytes + pickle->position;
    *length = 0;
    end = memchr(*line, '\n', pickle->end - pickle->position);
    if (!end) return fail_cut(pickle);
    *length = (size_t)(end - *line);
    pickle->position += *length + 1;
    return IMP_OK;
}

static int name_global(imp_pickle *pickle, int unused) {
    const uint8_t *module, *name = NULL;
    size_t module_length, name_length = 0;
    int status = take_line(pickle, &module, &module_length);

    (void)unused;
    if (status == IMP_OK) status = take_line(pickle, &name, &name_length);
    if (status != IMP_OK) return status;
    return push(pickle, imp_pickle_global(pickle, module, module_length, name, name_length));
}

/* Protocol 0's way to call a class, read only so that the refusal can name it. */
static int name_instance(imp_pickle *pickle, int unused) {
    int status = name_global(pickle, unused);

    return status == IMP_OK ? fail_damaged(pickle) : status;
}

static int name_stack_global(imp_pickle *pickle, int unused) {
    int32_t name_index = pop(pickle), module_index = name_index < 0 ? -1 : pop(pickle);
    const imp_pickle_value *name, *module;

    (void)unused;
    if (module_index < 0) return IMP_ERR_FORMAT;
    name = &pickle->values[name_index];
    module = &pickle->values[module_index];
    if (name->kind != IMP_PICKLE_STRING || module->kind != IMP_PICKLE_STRING) return fail_damaged(pickle);
    return push(pickle, imp_pickle_global(pickle, module->as.text.bytes, module->as.text.length, name->as.text.bytes,
                                          name->as.text.length));
}

static int call(imp_pickle *pickle, int unused) {
    int32_t arguments = pop(pickle), callee = arguments < 0 ? -1 : pop(pickle);

    (void)unused;
    if (callee < 0) return IMP_ERR_FORMAT;
    return push(pickle, imp_pickle_call(pickle, callee, arguments));
}

static int persistent(imp_pickle *pickle, int unused) {
    int32_t identifier = pop(pickle);

    (void)unused;
    if (identifier < 0) return IMP_ERR_FORMAT;
    return push(pickle, imp_pickle_persistent(pickle, identifier));
}

static int build(imp_pickle *pickle, int unused) {
    (void)unused;
    if (pop(pickle) < 0) return IMP_ERR_FORMAT; /* the attributes */
    if (height(pickle) == 0) return fail_damaged(pickle);
    return imp_pickle_build(pickle, pickle->stack[pickle->stack_count - 1]);
}

/* Every opcode that is understood; the argument is a number of bytes or of values, or a kind. */
static const struct {
    int (*run)(imp_pickle *pickle, int argument);
    int argument;
} opcodes[256] = {
    [0x80] = {no_operation, 1},                  /* PROTO */
    [0x95] = {no_operation, 8},                  /* FRAME */
    ['('] = {set_mark, 0},                       /* MARK */
    ['.'] = {stop, 0},                           /* STOP */
    ['0'] = {drop, 0},                           /* POP */
    ['1'] = {drop_to_mark, 0},                   /* POP_MARK */
    ['2'] = {duplicate, 0},                      /* DUP */
    ['N'] = {push_empty, IMP_PICKLE_NONE},       /* NONE */
    [0x88] = {push_bool, 1},                     /* NEWTRUE */
    [0x89] = {push_bool, 0},                     /* NEWFALSE */
    ['J'] = {push_small, 4},                     /* BININT */
    ['K'] = {push_small, 1},                     /* BININT1 */
    ['M'] = {push_small, 2},                     /* BININT2 */
    [0x8a] = {push_long, 1},                     /* LONG1 */
    [0x8b] = {push_long, 4},                     /* LONG4 */
    ['G'] = {push_float, 8},                     /* BINFLOAT */
    ['X'] = {push_string, 4},                    /* BINUNICODE */
    [0x8c] = {push_string, 1},                   /* SHORT_BINUNICODE */
    [0x8d] = {push_string, 8},                   /* BINUNICODE8 */
    ['T'] = {push_string, 4},                    /* BINSTRING */
    ['U'] = {push_string, 1},                    /* SHORT_BINSTRING */
    ['B'] = {push_bytes, 4},                     /* BINBYTES */
    ['C'] = {push_bytes, 1},                     /* SHORT_BINBYTES */
    [0x8e] = {push_bytes, 8},                    /* BINBYTES8 */
    [')'] = {push_empty, IMP_PICKLE_TUPLE},      /* EMPTY_TUPLE */
    [']'] = {push_empty, IMP_PICKLE_LIST},       /* EMPTY_LIST */
    ['}'] = {push_empty, IMP_PICKLE_DICT},       /* EMPTY_DICT */
    [0x8f] = {push_empty, IMP_PICKLE_SET},       /* EMPTY_SET */
    [0x85] = {collect_few, 1},                   /* TUPLE1 */
    [0x86] = {collect_few, 2},                   /* TUPLE2 */
    [0x87] = {collect_few, 3},                   /* TUPLE3 */
    ['t'] = {collect_to_mark, IMP_PICKLE_TUPLE}, /* TUPLE */
    ['l'] = {collect_to_mark, IMP_PICKLE_LIST},  /* LIST */
    ['d'] = {collect_to_mark, IMP_PICKLE_DICT},  /* DICT */
    [0x91] = {collect_to_mark, IMP_PICKLE_SET},  /* FROZENSET */
    ['a'] = {append_one, IMP_PICKLE_LIST},       /* APPEND */
    ['s'] = {append_one, IMP_PICKLE_DICT},       /* SETITEM */
    ['e'] = {append_to_mark, IMP_PICKLE_LIST},   /* APPENDS */
    ['u'] = {append_to_mark, IMP_PICKLE_DICT},   /* SETITEMS */
    [0x90] = {append_to_mark, IMP_PICKLE_SET},   /* ADDITEMS */
    ['q'] = {put, 1},                            /* BINPUT */
    ['r'] = {put, 4},                            /* LONG_BINPUT */
    [0x94] = {memoize, 0},                       /* MEMOIZE */
    ['h'] = {get, 1},                            /* BINGET */
    ['j'] = {get, 4},                            /* LONG_BINGET */
    ['c'] = {name_global, 0},                    /* GLOBAL */
    ['i'] = {name_instance, 0},                  /* INST */
    [0x93] = {name_stack_global, 0},             /* STACK_GLOBAL */
    ['R'] = {call, 0},                           /* REDUCE */
    [0x81] = {call, 0},                          /* NEWOBJ: a class called with its arguments */
    ['Q'] = {persistent, 0},                     /* BINPERSID */
    ['b'] = {build, 0},                          /* BUILD */
};

void imp_pickle_open(imp_pickle *pickle, imp_context *context, const uint8_t *bytes, size_t length) {
    *pickle = (imp_pickle){.context = context, .bytes = bytes, .length = length};
}

void imp_pickle_close(imp_pickle *pickle) {
    imp_release(pickle->context, pickle->values);
    imp_release(pickle->context, pickle->cells);
    imp_release(pickle->context, pickle->stack);
    imp_release(pickle->context, pickle->memo);
    imp_release(pickle->context, pickle->marks);
    imp_release(pickle->context, pickle->storages);
    imp_release(pickle->context, pickle->tensors);
    *pickle = (imp_pickle){0};
}

int imp_pickle_load(imp_pickle *pickle, int32_t *root) {
    pickle->stack_count = pickle->mark_count = pickle->memo_count = 0;
    pickle->stopped = 0;
    pickle->end = pickle->length;
    if (pickle->length - pickle->position > IMP_PICKLE_LENGTH_LIMIT)
        pickle->end = pickle->position + IMP_PICKLE_LENGTH_LIMIT;
    while (!pickle->stopped) {
        const uint8_t *opcode = take(pickle, 1);
        int status;
        if (!opcode) return IMP_ERR_FORMAT;
        if (!opcodes[*opcode].run)
            return imp_fail(pickle->context, IMP_ERR_FORMAT,
                            "its pickle has the opcode 0x%02x at byte %zu, which no file of torch.save needs", *opcode,
                            pickle->position - 1);
        status = opcodes[*opcode].run(pickle, opcodes[*opcode].argument);
        if (status != IMP_OK) return status;
    }
    *root = pickle->stack[0];
    return IMP_OK;
}
