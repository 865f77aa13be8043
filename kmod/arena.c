// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory that engine, sockets and disks share: shmem files whose pages are held, so that they are neither swapped nor
 * reclaimed. shmem, because io_uring of 6.1 registers no other kind of a driver's memory as fixed buffers.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>
#include <linux/vmalloc.h>
#include "shim.h"

/* mmap offset of an arena: its key in the upper half, so that an offset within it can't hit another one. */
#define KEY_SHIFT 32

static DEFINE_XARRAY_ALLOC1(offered);
static atomic_long_t all_pages;

static void arena_free(struct shim_arena *arena)
{
	u32 i, n = arena->bytes >> PAGE_SHIFT;

	if (arena->addr)
		vunmap(arena->addr);
	for (i = 0; arena->pages && i < n && arena->pages[i]; i++)
		put_page(arena->pages[i]);
	kvfree(arena->pages);
	if (!IS_ERR_OR_NULL(arena->file))
		fput(arena->file);
	atomic_long_sub(n, &all_pages);
	kfree(arena);
}

static void arena_free_work(struct work_struct *work)
{
	arena_free(container_of(work, struct shim_arena, free_work));
}

static int arena_fill(struct shim_arena *arena, u32 n)
{
	struct page *page;
	u32 i;

	arena->pages = kvcalloc(n, sizeof(*arena->pages), GFP_KERNEL);
	if (!arena->pages)
		return -ENOMEM;
	arena->file = shmem_file_setup("drbd", arena->bytes, VM_NORESERVE);
	if (IS_ERR(arena->file))
		return PTR_ERR(arena->file);
	mapping_set_gfp_mask(arena->file->f_mapping, GFP_KERNEL);
	mapping_set_unevictable(arena->file->f_mapping);
	for (i = 0; i < n; i++) {
		page = shmem_read_mapping_page_gfp(arena->file->f_mapping, i, GFP_KERNEL);
		if (IS_ERR(page))
			return PTR_ERR(page);
		set_page_dirty(page);
		arena->pages[i] = page;
		cond_resched();
	}
	arena->addr = vmap(arena->pages, n, VM_MAP, PAGE_KERNEL);
	return arena->addr ? 0 : -ENOMEM;
}

struct shim_arena *shim_arena_make(u64 bytes)
{
	u32 n = bytes >> PAGE_SHIFT;
	struct shim_arena *arena;
	int rc;

	if (!bytes || bytes > DRBD_SHIM_MAX_ARENA || bytes & ~PAGE_MASK)
		return ERR_PTR(-EINVAL);
	arena = kzalloc(sizeof(*arena), GFP_KERNEL);
	if (!arena)
		return ERR_PTR(-ENOMEM);
	kref_init(&arena->ref);
	INIT_WORK(&arena->free_work, arena_free_work);
	arena->bytes = bytes;
	rc = atomic_long_add_return(n, &all_pages) > totalram_pages() / 2 ? -ENOMEM : arena_fill(arena, n);
	if (!rc)
		return arena;
	arena_free(arena);
	return ERR_PTR(rc);
}

/* Makes it known under an mmap offset; it stays so until shim_arena_drop(). */
int shim_arena_offer(struct shim_arena *arena, u64 *mmap_offset)
{
	int rc = 0;

	if (!arena->key)
		rc = xa_alloc(&offered, &arena->key, arena, XA_LIMIT(1, INT_MAX / 2), GFP_KERNEL);
	*mmap_offset = (u64)arena->key << KEY_SHIFT;
	return rc;
}

static void arena_release(struct kref *ref)
{
	queue_work(shim_wq, &container_of(ref, struct shim_arena, ref)->free_work);
}

/* Any context: LOWERs in flight hold references. */
void shim_arena_put(struct shim_arena *arena)
{
	kref_put(&arena->ref, arena_release);
}

/* Gives up the owner's reference and the mmap offset. */
void shim_arena_drop(struct shim_arena *arena)
{
	if (arena->key)
		xa_erase(&offered, arena->key);
	shim_arena_put(arena);
}

/* With a reference, or NULL. Not under channel.calls: mmap holds the lock that user copies take inside of it. */
struct shim_arena *shim_arena_find(u64 mmap_offset)
{
	struct shim_arena *arena;

	if (mmap_offset & ((1ull << KEY_SHIFT) - 1))
		return NULL;
	xa_lock(&offered);
	arena = xa_load(&offered, mmap_offset >> KEY_SHIFT);
	if (arena)
		kref_get(&arena->ref);
	xa_unlock(&offered);
	return arena;
}

/* The mapping becomes one of the shmem file: it does not keep the control file, and so the module, in use. */
int shim_arena_mmap(struct shim_arena *arena, struct vm_area_struct *vma)
{
	if (!(vma->vm_flags & VM_SHARED) || vma->vm_end - vma->vm_start > arena->bytes)
		return -EINVAL;
	vma_set_file(vma, arena->file);
	vma->vm_pgoff = 0;
	return call_mmap(arena->file, vma);
}
