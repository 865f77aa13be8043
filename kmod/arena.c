// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory that engine, sockets and disks share: shmem files whose pages are held, so that they are neither swapped nor
 * reclaimed. shmem, because io_uring of 6.1 registers no other kind of a driver's memory as fixed buffers.
 */
#include "shim.h"

static DEFINE_XARRAY_ALLOC(offered);	/* for mmap, by key */
static atomic_long_t all_pages;

static void arena_free(struct work_struct *work)
{
	struct shim_arena *arena = container_of(work, struct shim_arena, free_work);
	u32 i, n = arena->bytes >> PAGE_SHIFT;

	vunmap(arena->addr);
	for (i = 0; arena->pages && i < n && arena->pages[i]; i++)
		put_page(arena->pages[i]);
	kvfree(arena->pages);
	if (!IS_ERR_OR_NULL(arena->file))
		fput(arena->file);
	atomic_long_sub(n, &all_pages);
	kfree(arena);
}

static int arena_fill(struct shim_arena *arena, u32 n)
{
	struct page *page;
	u32 i;

	if (atomic_long_add_return(n, &all_pages) <= totalram_pages() / 2)
		arena->pages = kvcalloc(n, sizeof(*arena->pages), GFP_KERNEL);
	if (!arena->pages)
		return -ENOMEM;
	arena->file = shmem_file_setup("drbd", arena->bytes, VM_NORESERVE);
	if (IS_ERR(arena->file))
		return PTR_ERR(arena->file);
	mapping_set_gfp_mask(arena->file->f_mapping, GFP_KERNEL);
	mapping_set_unevictable(arena->file->f_mapping);
	arena->provable = true;
	for (i = 0; i < n; i++) {
		page = shmem_read_mapping_page_gfp(arena->file->f_mapping, i, GFP_KERNEL);
		if (IS_ERR(page))
			return PTR_ERR(page);
		set_page_dirty(page);
		arena->provable &= !PageCompound(page);
		arena->pages[i] = page;
		cond_resched();
	}
	arena->addr = vmap(arena->pages, n, VM_MAP, PAGE_KERNEL);
	return arena->addr ? 0 : -ENOMEM;
}

/* Known to mmap under a free key, until shim_arena_drop(). */
struct shim_arena *shim_arena_make(u64 bytes, struct xa_limit keys)
{
	struct shim_arena *arena;
	int rc;

	if (!bytes || bytes > DRBD_SHIM_MAX_ARENA || bytes & ~PAGE_MASK)
		return ERR_PTR(-EINVAL);
	arena = kzalloc(sizeof(*arena), GFP_KERNEL);
	if (!arena)
		return ERR_PTR(-ENOMEM);
	refcount_set(&arena->ref, 1);
	INIT_WORK(&arena->free_work, arena_free);
	arena->bytes = bytes;
	rc = arena_fill(arena, bytes >> PAGE_SHIFT);
	rc = rc ? : xa_alloc(&offered, &arena->key, arena, keys, GFP_KERNEL);
	if (!rc)
		return arena;
	shim_arena_put(arena);
	return ERR_PTR(rc);
}

/* Any context: LOWERs in flight hold references. */
void shim_arena_put(struct shim_arena *arena)
{
	if (refcount_dec_and_test(&arena->ref))
		queue_work(shim_wq, &arena->free_work);
}

/*
 * First page from `at` on that anybody holds besides the arena, its file and its mappings (a socket that was given the page
 * itself still sends it), or `end`.
 */
u32 shim_arena_held(struct shim_arena *arena, u32 at, u32 end)
{
	struct page **p = arena->pages;

	while (at < end && !(arena->provable && page_ref_count(p[at]) != 2 /* arena, file */ + atomic_read(&p[at]->_mapcount) + 1))
		at++;
	return at;
}

SHIM_CALL(shim_held)
{
	struct shim_arena *arena = dev->arenas[DRBD_SHIM_DATA_ARENA];
	struct drbd_shim_held *arg = data;
	u64 end = arg->offset + arg->bytes;

	if (arg->held || (arg->offset | arg->bytes) & ~PAGE_MASK || arg->offset > arena->bytes ||
	    arg->bytes > arena->bytes - arg->offset)
		return -EINVAL;
	arg->held = shim_arena_held(arena, arg->offset >> PAGE_SHIFT, end >> PAGE_SHIFT) < end >> PAGE_SHIFT;
	return 0;
}

/* Gives up the owner's reference and the mmap offset. */
void shim_arena_drop(struct shim_arena *arena)
{
	if (!arena)
		return;
	xa_erase(&offered, arena->key);
	shim_arena_put(arena);
}

/*
 * mmap(2) of the control file. Not under channel.calls: it holds the lock that user copies take inside of that one.
 * The mapping becomes one of the shmem file: it does not keep the control file, and so the module, in use.
 */
int shim_arena_mmap(struct file *file, struct vm_area_struct *vma)
{
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	struct shim_arena *arena;
	int rc = -EINVAL;

	xa_lock(&offered);
	arena = lower_32_bits(offset) ? NULL : xa_load(&offered, upper_32_bits(offset));
	if (arena)
		refcount_inc(&arena->ref);
	xa_unlock(&offered);
	if (!arena)
		return -ENXIO;
	if (vma->vm_flags & VM_SHARED && vma->vm_end - vma->vm_start <= arena->bytes) {
		vma_set_file(vma, arena->file);
		vma->vm_pgoff = 0;
		rc = call_mmap(arena->file, vma);
	}
	shim_arena_put(arena);
	return rc;
}
