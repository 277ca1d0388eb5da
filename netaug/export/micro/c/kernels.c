/* Each kernel reads a byte of its input before it writes a byte that may lie over it: see "overlap" in README.md.
   So no pointer is declared restrict, and the order of the loops must not change. */
#include "kernels.h"

/* The high 32 bits of 2ab, rounded to nearest; the one product that does not fit saturates. */
static inline int32_t doubling_high_product(int32_t a, int32_t b) {
  if (a == INT32_MIN && b == INT32_MIN) return INT32_MAX;
  int64_t product = (int64_t)a * b;
  int64_t nudge = product >= 0 ? (int64_t)1 << 30 : 1 - ((int64_t)1 << 30);
  return (int32_t)((product + nudge) / ((int64_t)1 << 31));
}

/* x / 2^exponent, rounded to nearest, halves away from zero. */
static inline int32_t rounding_shift(int32_t x, int exponent) {
  int32_t mask = (int32_t)(((int64_t)1 << exponent) - 1);
  int32_t remainder = x & mask;
  int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
  return (x >> exponent) + (remainder > threshold ? 1 : 0);
}

static inline int32_t scaled(int32_t x, int32_t multiplier, int shift) {
  int left = shift > 0 ? shift : 0;
  int right = shift > 0 ? 0 : -shift;
  int32_t shifted = (int32_t)((uint32_t)x << left); /* unsigned: a shifted-out sign bit is not undefined */
  return rounding_shift(doubling_high_product(shifted, multiplier), right);
}

static inline int8_t clamped(int32_t x, int32_t low, int32_t high) {
  return (int8_t)(x < low ? low : x > high ? high : x);
}

static inline int32_t largest(int32_t a, int32_t b) { return a > b ? a : b; }
static inline int32_t smallest(int32_t a, int32_t b) { return a < b ? a : b; }

/* The part of a window that lies inside the image; padding is what is left out. */
typedef struct {
  int32_t y, x;            /* first pixel of the window, may be negative */
  int32_t top, bottom, left, right; /* rows and columns of the window that exist */
} net_span;

static inline net_span span_at(const net_window *w, net_shape input, int32_t row, int32_t column) {
  net_span s;
  s.y = row * w->stride_y - w->pad_top;
  s.x = column * w->stride_x - w->pad_left;
  s.top = largest(0, -s.y);
  s.bottom = smallest(w->height, input.height - s.y);
  s.left = largest(0, -s.x);
  s.right = smallest(w->width, input.width - s.x);
  return s;
}

#ifndef NET_CMSIS_NN
void net_conv_run(const net_conv *p, const int8_t *input, int8_t *output) {
  const int32_t depth = p->input.channels;
  const int32_t filter = (int32_t)p->window.height * p->window.width * depth;
  for (int32_t row = 0; row < p->output.height; row++)
    for (int32_t column = 0; column < p->output.width; column++) {
      const net_span s = span_at(&p->window, p->input, row, column);
      for (int32_t o = 0; o < p->output.channels; o++) {
        int32_t sum = p->bias[o];
        for (int32_t i = s.top; i < s.bottom; i++) {
          const int8_t *in = input + ((s.y + i) * p->input.width + s.x + s.left) * depth;
          const int8_t *weights = p->weights + o * filter + (i * p->window.width + s.left) * depth;
          const int32_t count = (s.right - s.left) * depth;
          for (int32_t k = 0; k < count; k++) sum += (in[k] - p->input_zero) * weights[k];
        }
        *output++ = clamped(scaled(sum, p->multipliers[o], p->shifts[o]) + p->output_zero, p->low, p->high);
      }
    }
}

void net_depthwise_run(const net_conv *p, const int8_t *input, int8_t *output) {
  const int32_t depth = p->input.channels;
  for (int32_t row = 0; row < p->output.height; row++)
    for (int32_t column = 0; column < p->output.width; column++) {
      const net_span s = span_at(&p->window, p->input, row, column);
      for (int32_t c = 0; c < depth; c++) {
        int32_t sum = p->bias[c];
        for (int32_t i = s.top; i < s.bottom; i++)
          for (int32_t j = s.left; j < s.right; j++)
            sum += (input[((s.y + i) * p->input.width + s.x + j) * depth + c] - p->input_zero) *
                   p->weights[(i * p->window.width + j) * depth + c];
        *output++ = clamped(scaled(sum, p->multipliers[c], p->shifts[c]) + p->output_zero, p->low, p->high);
      }
    }
}
#endif

void net_group_conv_run(const net_conv *p, const int8_t *input, int8_t *output) {
  const int32_t depth = p->input.channels / p->groups, per_group = p->output.channels / p->groups;
  const net_window *w = &p->window;
  for (int32_t row = 0; row < p->output.height; row++)
    for (int32_t column = 0; column < p->output.width; column++)
      for (int32_t o = 0; o < p->output.channels; o++) {
        const int8_t *weights = p->weights + o * w->height * w->width * depth;
        int32_t sum = p->bias[o];
        for (int32_t i = 0; i < w->height; i++) {
          const int32_t y = row * w->stride_y - w->pad_top + i * p->dilation_y;
          for (int32_t j = 0; j < w->width; j++, weights += depth) {
            const int32_t x = column * w->stride_x - w->pad_left + j * p->dilation_x;
            if (y < 0 || y >= p->input.height || x < 0 || x >= p->input.width) continue;
            const int8_t *in = input + (y * p->input.width + x) * p->input.channels + o / per_group * depth;
            for (int32_t k = 0; k < depth; k++) sum += (in[k] - p->input_zero) * weights[k];
          }
        }
        *output++ = clamped(scaled(sum, p->multipliers[o], p->shifts[o]) + p->output_zero, p->low, p->high);
      }
}

void net_add_run(const net_add *p, const int8_t *a, const int8_t *b, int8_t *output) {
  const int32_t headroom = (int32_t)1 << 20;
  for (int32_t k = 0; k < p->size; k++) {
    int32_t left = scaled((a[k] - p->zero_a) * headroom, p->multiplier_a, p->shift_a);
    int32_t right = scaled((b[k] - p->zero_b) * headroom, p->multiplier_b, p->shift_b);
    output[k] = clamped(scaled(left + right, p->multiplier_out, p->shift_out) + p->output_zero, p->low, p->high);
  }
}

void net_mul_run(const net_mul *p, const int8_t *a, const int8_t *b, int8_t *output) {
  for (int32_t start = 0; start < p->size; start += p->b_size)
    for (int32_t k = 0; k < p->b_size; k++) {
      int32_t product = (a[start + k] - p->zero_a) * (b[k] - p->zero_b);
      output[start + k] = clamped(scaled(product, p->multiplier, p->shift) + p->output_zero, p->low, p->high);
    }
}

void net_mean_run(const net_mean *p, const int8_t *input, int8_t *output) {
  for (int32_t c = 0; c < p->channels; c++) {
    int32_t sum = 0;
    for (int32_t k = 0; k < p->pixels; k++) sum += input[k * p->channels + c];
    sum -= p->input_zero * p->pixels;
    output[c] = clamped(scaled(sum, p->multiplier, p->shift) + p->output_zero, -128, 127);
  }
}

void net_max_pool_run(const net_pool *p, const int8_t *input, int8_t *output) {
  const int32_t depth = p->input.channels;
  for (int32_t row = 0; row < p->output.height; row++)
    for (int32_t column = 0; column < p->output.width; column++) {
      const net_span s = span_at(&p->window, p->input, row, column);
      for (int32_t c = 0; c < depth; c++) {
        int32_t most = -128;
        for (int32_t i = s.top; i < s.bottom; i++)
          for (int32_t j = s.left; j < s.right; j++)
            most = largest(most, input[((s.y + i) * p->input.width + s.x + j) * depth + c]);
        *output++ = clamped(most, p->low, p->high);
      }
    }
}

void net_avg_pool_run(const net_pool *p, const int8_t *input, int8_t *output) {
  const int32_t depth = p->input.channels;
  for (int32_t row = 0; row < p->output.height; row++)
    for (int32_t column = 0; column < p->output.width; column++) {
      const net_span s = span_at(&p->window, p->input, row, column);
      const int32_t count = (s.bottom - s.top) * (s.right - s.left);
      for (int32_t c = 0; c < depth; c++) {
        int32_t sum = 0;
        for (int32_t i = s.top; i < s.bottom; i++)
          for (int32_t j = s.left; j < s.right; j++)
            sum += input[((s.y + i) * p->input.width + s.x + j) * depth + c];
        int32_t mean = sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
        *output++ = clamped(mean, p->low, p->high);
      }
    }
}

void net_lookup_run(const int8_t table[256], int32_t size, const int8_t *input, int8_t *output) {
  for (int32_t k = 0; k < size; k++) output[k] = table[input[k] + 128];
}

void net_resize_run(net_shape input, int32_t factor, const int8_t *source, int8_t *output) {
  for (int32_t row = 0; row < input.height * factor; row++)
    for (int32_t column = 0; column < input.width * factor; column++) {
      const int8_t *pixel = source + ((row / factor) * input.width + column / factor) * input.channels;
      for (int32_t c = 0; c < input.channels; c++) *output++ = pixel[c];
    }
}

void net_take_run(int32_t pixels, int32_t channels, int32_t count, const int16_t *order, const int8_t *input,
                  int8_t *output) {
  for (int32_t k = 0; k < pixels; k++)
    for (int32_t c = 0; c < count; c++) *output++ = input[k * channels + order[c]];
}

void net_concat_run(int32_t pixels, int32_t channels, int32_t stride, const int8_t *input, int8_t *output) {
  for (int32_t k = 0; k < pixels; k++)
    for (int32_t c = 0; c < channels; c++) output[k * stride + c] = input[k * channels + c];
}
