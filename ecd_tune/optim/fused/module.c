/* The Python side of the compiled step, against the limited API and without torch's headers: what
   it needs of a tensor it asks by name. Addresses come from cpu.py, which keeps alive what they
   point to. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "step.h"

#include <stdlib.h>

/* Below this many elements one thread does everything. */
#define SERIAL 32768

/* What a step came to; named in cpu.py. */
enum { DONE, FULL, CHANGED, ODD_GRADIENT };

static const Passes *passes = &passes_base;
static PyObject *data_ptr, *grad, *dtype, *is_contiguous, *stride;

static void choose_level(void) {
#ifdef LEVELS
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vl"))
        passes = &passes_v4;
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
             && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"))
        passes = &passes_v3;
#endif
}

static void *address(PyObject *number) { return PyLong_AsVoidPtr(number); }

/* Return tensor.data_ptr(), or NULL after an exception. */
static void *pointer_of(PyObject *tensor) {
    PyObject *number = PyObject_CallMethodObjArgs(tensor, data_ptr, NULL);
    if (!number) return NULL;
    void *found = address(number);
    Py_DECREF(number);
    return found;
}

/* Whether dictionaries still hold the very objects that they held: flat (dict, key, value)s. */
static int unchanged(PyObject *entries) {
    Py_ssize_t size = PyTuple_Size(entries);
    for (Py_ssize_t i = 0; i < size; i += 3) {
        PyObject *held = PyDict_GetItemWithError(PyTuple_GetItem(entries, i),
                                                 PyTuple_GetItem(entries, i + 1));
        if (held != PyTuple_GetItem(entries, i + 2)) return 0;
    }
    return 1;
}

/* Whether the lists of the groups hold the parameters in the same order: (list, params)s. */
static int same_params(PyObject *lists) {
    Py_ssize_t size = PyTuple_Size(lists);
    for (Py_ssize_t i = 0; i < size; i += 2) {
        PyObject *list = PyTuple_GetItem(lists, i), *params = PyTuple_GetItem(lists, i + 1);
        Py_ssize_t count = PyTuple_Size(params);
        if (PyList_Size(list) != count) return 0;
        for (Py_ssize_t k = 0; k < count; k++)
            if (PyList_GetItem(list, k) != PyTuple_GetItem(params, k)) return 0;
    }
    return 1;
}

/* Whether the gradient lies as its parameter does: `form` is its dtype, and None for contiguous or
   the strides. Returns -1 after an exception. */
static int lies_alike(PyObject *gradient, PyObject *form) {
    if (Py_TYPE(gradient) != (PyTypeObject *)PyTuple_GetItem(form, 2)) return 0;
    PyObject *kind = PyObject_GetAttr(gradient, dtype);
    if (!kind) return -1;
    Py_DECREF(kind);
    if (kind != PyTuple_GetItem(form, 0)) return 0;
    PyObject *strides = PyTuple_GetItem(form, 1);
    PyObject *found = PyObject_CallMethodObjArgs(
        gradient, strides == Py_None ? is_contiguous : stride, NULL);
    if (!found) return -1;
    int same = strides == Py_None ? found == Py_True
                                  : PyObject_RichCompareBool(found, strides, Py_EQ);
    Py_DECREF(found);
    return same;
}

/* Put the addresses of the gradients into the blocks; a new reference to each goes to `held`. */
static int gather(Run *run, PyObject *tensors, PyObject *given, PyObject **held) {
    for (int64_t i = 0; i < run->count; i++) {
        PyObject *param = PyTuple_GetItem(tensors, 3 * i);
        PyObject *momentum = PyTuple_GetItem(tensors, 3 * i + 1);
        if (pointer_of(param) != run->blocks[i].theta
            || pointer_of(momentum) != run->blocks[i].momentum)
            return CHANGED;
        PyObject *gradient;
        if (given == Py_None) {
            gradient = PyObject_GetAttr(param, grad);
            if (!gradient) return CHANGED;
            held[i] = gradient;
            if (gradient == Py_None) return CHANGED;
            int alike = lies_alike(gradient, PyTuple_GetItem(tensors, 3 * i + 2));
            if (alike <= 0) return ODD_GRADIENT;
        } else {
            gradient = PyTuple_GetItem(given, i);
            Py_INCREF(gradient);
            held[i] = gradient;
        }
        run->blocks[i].grad = pointer_of(gradient);
        /* A sparse gradient has no address. */
        if (PyErr_Occurred() || (!run->blocks[i].grad && run->blocks[i].size > 0))
            return ODD_GRADIENT;
    }
    return DONE;
}

/* Whether parameters without a gradient still have none. */
static int still_absent(PyObject *absent) {
    Py_ssize_t size = PyTuple_Size(absent);
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *found = PyObject_GetAttr(PyTuple_GetItem(absent, i), grad);
        if (!found) return 0;
        Py_DECREF(found);
        if (found != Py_None) return 0;
    }
    return 1;
}

static int64_t elements(const Run *run) {
    int64_t sum = 0;
    for (int64_t i = 0; i < run->count; i++) sum += run->blocks[i].size;
    return sum;
}

static void run_step(Run *run, double loss, int64_t threads) {
    if (elements(run) < SERIAL) {
        make_step(passes, run, loss, 1, 1);
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    make_step(passes, run, loss, 1, threads);
    Py_END_ALLOW_THREADS
}

/* step(run, entries, lists, tensors, absent, increment, params, grads, loss, threads) */
static PyObject *step(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    (void)self;
    if (n != 10) return PyErr_Format(PyExc_TypeError, "step takes 10 arguments, got %zd", n);
    Run *run = address(args[0]);
    double loss = PyFloat_AsDouble(args[8]);
    int64_t threads = PyLong_AsLongLong(args[9]);
    if (PyErr_Occurred()) return NULL;
    PyObject *few[16], **held = few;
    if (run->count > 16) held = malloc(run->count * sizeof *held);
    if (!held) return PyErr_NoMemory();
    for (int64_t i = 0; i < run->count; i++) held[i] = NULL;
    int code = CHANGED;
    if (unchanged(args[1]) && same_params(args[2]) && still_absent(args[4]))
        code = gather(run, args[3], args[7], held);
    PyErr_Clear(); /* what could not be asked is looked at in Python */
    PyObject *result = NULL;
    if (code == DONE) {
        run_step(run, loss, threads);
        if (run->rows && *run->filled == ROWS) code = FULL;
        result = PyObject_CallFunctionObjArgs(args[5], args[6], NULL);
    }
    for (int64_t i = 0; i < run->count; i++) Py_XDECREF(held[i]);
    if (held != few) free(held);
    if (code <= FULL && !result) return NULL;
    Py_XDECREF(result);
    return PyLong_FromLong(code);
}

/* Steps of many trajectories with the same blocks, each by one thread. */
typedef struct {
    Run *runs;
    void *const *grads; /* of each block, [B, size] */
    const double *loss;
    const uint8_t *active;
} Batch;

static void step_row(void *context, int64_t row) {
    const Batch *batch = context;
    Run *run = batch->runs + row;
    for (int64_t i = 0; i < run->count; i++) {
        Block *block = run->blocks + i;
        int64_t item = block->type == FLOAT64 ? 8 : block->type == FLOAT32 ? 4 : 2;
        block->grad = (char *)batch->grads[i] + row * block->size * item;
    }
    make_step(passes, run, batch->loss[row], batch->active[row], 1);
}

/* step_batch(runs, count, grads, loss, active, threads): addresses, the latter three of arrays. */
static PyObject *step_batch(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    (void)self;
    if (n != 6) return PyErr_Format(PyExc_TypeError, "step_batch takes 6 arguments, got %zd", n);
    Batch batch = {address(args[0]), address(args[2]), address(args[3]), address(args[4])};
    int64_t count = PyLong_AsLongLong(args[1]), threads = PyLong_AsLongLong(args[5]);
    if (PyErr_Occurred()) return NULL;
    Py_BEGIN_ALLOW_THREADS
    share_out(step_row, &batch, count, threads);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* One step of each of some trajectories, whose blocks know their gradients. */
typedef struct {
    const uint64_t *runs; /* addresses */
    const double *loss;
} Several;

static void step_one(void *context, int64_t i) {
    const Several *several = context;
    make_step(passes, (Run *)(uintptr_t)several->runs[i], several->loss[i], 1, 1);
}

/* step_several(runs, losses, count, threads): addresses of an array of addresses and one of F. */
static PyObject *step_several(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    (void)self;
    if (n != 4) return PyErr_Format(PyExc_TypeError, "step_several takes 4 arguments, got %zd", n);
    Several several = {address(args[0]), address(args[1])};
    int64_t count = PyLong_AsLongLong(args[2]), threads = PyLong_AsLongLong(args[3]);
    if (PyErr_Occurred()) return NULL;
    Py_BEGIN_ALLOW_THREADS
    share_out(step_one, &several, count, threads);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* complete(runs, count, threads): complete the last rows of Diagnostics. */
static PyObject *complete(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    (void)self;
    if (n != 3) return PyErr_Format(PyExc_TypeError, "complete takes 3 arguments, got %zd", n);
    Run *runs = address(args[0]);
    int64_t count = PyLong_AsLongLong(args[1]), threads = PyLong_AsLongLong(args[2]);
    if (PyErr_Occurred()) return NULL;
    for (int64_t i = 0; i < count; i++)
        settle_row(passes, runs + i, elements(runs + i) < SERIAL ? 1 : threads);
    Py_RETURN_NONE;
}

/* normals(seed, first, count, address, exact): the numbers of whole blocks. */
static PyObject *normals(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    (void)self;
    if (n != 5) return PyErr_Format(PyExc_TypeError, "normals takes 5 arguments, got %zd", n);
    uint64_t seed = PyLong_AsUnsignedLongLong(args[0]), first = PyLong_AsUnsignedLongLong(args[1]);
    int64_t count = PyLong_AsLongLong(args[2]);
    void *z = address(args[3]);
    int exact = PyObject_IsTrue(args[4]);
    if (PyErr_Occurred()) return NULL;
    passes->normals(seed, first, count, exact ? NULL : z, exact ? z : NULL);
    Py_RETURN_NONE;
}

/* use(name): take the passes of an instruction set; returns the name of those before. */
static PyObject *use(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    (void)self;
    if (n != 1) return PyErr_Format(PyExc_TypeError, "use takes 1 argument, got %zd", n);
    PyObject *before = PyUnicode_FromString(passes->name);
    const Passes *all[] = {
#ifdef LEVELS
        &passes_v4, &passes_v3,
#endif
        &passes_base};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        if (PyUnicode_CompareWithASCIIString(args[0], all[i]->name) == 0) passes = all[i];
    return before;
}

static PyMethodDef methods[] = {
    {"step", (PyCFunction)(void (*)(void))step, METH_FASTCALL, "Make one step."},
    {"step_batch", (PyCFunction)(void (*)(void))step_batch, METH_FASTCALL, "Make many steps."},
    {"step_several", (PyCFunction)(void (*)(void))step_several, METH_FASTCALL,
     "Make a step of each of several trajectories."},
    {"complete", (PyCFunction)(void (*)(void))complete, METH_FASTCALL, "Complete the last rows."},
    {"normals", (PyCFunction)(void (*)(void))normals, METH_FASTCALL, "Make normal numbers."},
    {"use", (PyCFunction)(void (*)(void))use, METH_FASTCALL, "Choose an instruction set."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_step", "One step of ECDSep or ECDq1, compiled.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__step(void) {
    choose_level();
    data_ptr = PyUnicode_InternFromString("data_ptr");
    grad = PyUnicode_InternFromString("grad");
    dtype = PyUnicode_InternFromString("dtype");
    is_contiguous = PyUnicode_InternFromString("is_contiguous");
    stride = PyUnicode_InternFromString("stride");
    PyObject *module = PyModule_Create(&definition);
    if (!module) return NULL;
    PyModule_AddStringConstant(module, "level", passes->name);
    PyModule_AddIntConstant(module, "block_bytes", sizeof(Block));
    PyModule_AddIntConstant(module, "run_bytes", sizeof(Run));
    PyModule_AddIntConstant(module, "sums", SUMS);
    return module;
}
